"""What can go wrong with a model file or the runtime that runs it."""

from watchline.errors import WatchlineError


class EngineError(WatchlineError):
    """Root of all errors of engines. The message says what, what was expected, and what to do."""


class ModelNotFound(EngineError, FileNotFoundError):
    """There is no model file at the path."""


class ModelRefused(EngineError, ValueError):
    """The file is no model, lacks Watchline's metadata, or its inputs and outputs break the contract."""


class RuntimeUnavailable(EngineError, RuntimeError):
    """The asked-for runtime is not installed, or it would run on another device than asked for."""


class InferenceFailed(EngineError, RuntimeError):
    """The runtime failed on a batch, or gave numbers that cannot be."""


class RequestRefused(EngineError, ValueError):
    """What was asked of an engine cannot be: a size, a thread count, a runtime's name, a batch of another shape."""
