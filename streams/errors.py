"""The errors of sources, sinks and events that are read again. Each is also the builtin that fits."""

from watchline.errors import WatchlineError


class StreamError(WatchlineError):
    """Root of all errors of this folder. The message says what is wrong, what was expected, and what to do."""


class NoSource(StreamError, TypeError):
    """The argument is not something that frames can be read from."""


class SourceNotFound(StreamError, FileNotFoundError):
    """The path does not exist, or contains nothing that a source can read."""


class SourceUnreadable(StreamError, OSError):
    """The path exists, but it cannot be opened, or it is not a video or picture."""


class SourceTruncated(StreamError, EOFError):
    """The stream ends before it should; the frames before the cut were delivered."""


class SourceDenied(StreamError, PermissionError):
    """User name or password is wrong or missing. A retry soon may lock the account."""


class SourceRefused(StreamError, ConnectionError):
    """No server answers at the address: the host is unknown or unreachable, or nothing listens there."""


class SourceUnsupported(StreamError, OSError):
    """The stream exists, but contains nothing that can be decoded here."""


class SourceTimeout(StreamError, TimeoutError):
    """The stream sent nothing for too long."""


class SourceLost(StreamError, ConnectionError):
    """The connection broke, or sent data that makes no sense."""


class SinkError(StreamError, OSError):
    """An output cannot be written: its folder, rights or disk space, or because it is also an input."""


class EventsNotFound(StreamError, FileNotFoundError):
    """There is no file of events at the path."""


class EventsRefused(StreamError, ValueError):
    """A file of events has a line that cannot be, or nothing of what is asked for."""


class LibraryMissing(StreamError, ImportError):
    """A format or a table needs a library that is not installed."""
