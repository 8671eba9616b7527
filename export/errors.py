"""What can go wrong on the way from a checkpoint to an engine."""

from watchline.errors import WatchlineError
from watchline.extras import command


class ExportError(WatchlineError):
    """Root of all errors of the export. The message says what, what it is, what was expected, and what to do."""


class CheckpointNotFound(ExportError, FileNotFoundError):
    """There is no checkpoint at the path."""


class CheckpointRefused(ExportError, ValueError):
    """The file is no such checkpoint, is cut short, or does not fit its network."""


class ExportRefused(ExportError, ValueError):
    """What was asked for cannot be: a size, a label file, a precision, a target that do not go with the checkpoint."""


class ExportFailed(ExportError, RuntimeError):
    """The export ended with something that must not be handed out: it loses accuracy, or a builder did not take it."""


def without_torch(what: str, error: ModuleNotFoundError) -> ExportRefused:
    """What to raise where an import of torch's part of the export failed. Raises the error: it is a file of ours."""
    if (error.name or "").startswith("watchline"):
        raise error
    return ExportRefused(f"{what} needs torch ({error.name} is not installed): {command('export')}")
