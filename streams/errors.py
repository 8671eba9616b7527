"""What can go wrong between a file or camera and a picture, and back. Each is also the builtin that fits."""


class StreamError(Exception):
    """Root of all errors of sources and sinks. The message says what, what was expected, and what to do."""


class SourceNotFound(StreamError, FileNotFoundError):
    """There is nothing at the path, or nothing in it that a source could read."""


class SourceUnreadable(StreamError, OSError):
    """The path is there, but it cannot be opened or is no video or picture."""


class SourceTruncated(StreamError, EOFError):
    """The stream ends before it should; the frames before the cut were delivered."""


class SinkError(StreamError, OSError):
    """An output cannot be written: folder, rights, space, or it is an input."""
