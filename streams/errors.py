"""What can go wrong between a file or camera and a picture, and back. Each is also the builtin that fits."""

from watchline.errors import WatchlineError


class StreamError(WatchlineError):
    """Root of all errors of sources and sinks. The message says what, what was expected, and what to do."""


class SourceNotFound(StreamError, FileNotFoundError):
    """There is nothing at the path, or nothing in it that a source could read."""


class SourceUnreadable(StreamError, OSError):
    """The path is there, but it cannot be opened or is no video or picture."""


class SourceTruncated(StreamError, EOFError):
    """The stream ends before it should; the frames before the cut were delivered."""


class SourceDenied(StreamError, PermissionError):
    """User name or password are wrong or missing. Trying again soon may lock the account."""


class SourceRefused(StreamError, ConnectionError):
    """Nobody answers at the address: no such host, no way to it, or nothing listens there."""


class SourceUnsupported(StreamError, OSError):
    """The stream is there, but nothing in it that can be decoded here."""


class SourceTimeout(StreamError, TimeoutError):
    """The stream said nothing for too long."""


class SourceLost(StreamError, ConnectionError):
    """The connection broke off, or what came over it made no sense any more."""


class SinkError(StreamError, OSError):
    """An output cannot be written: folder, rights, space, or it is an input."""
