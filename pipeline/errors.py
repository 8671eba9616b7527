"""What can go wrong in a running pipeline."""

from watchline.errors import WatchlineError


class PipelineError(WatchlineError):
    """Root of all errors of the running system."""


class ConfigError(PipelineError, ValueError):
    """Settings that cannot be: every mistake is named, one a line, with what is allowed."""


class NoStage(PipelineError, TypeError):
    """What was given as a stage is not one, or was given together with settings of another."""


class StageError(PipelineError, RuntimeError):
    """A stage failed on a frame, or could not start. The message names the stage."""


class StageGone(StageError):
    """A stage that runs elsewhere cannot be opened, or its connection broke for good: the run cannot go on."""


class FrameLost(PipelineError, RuntimeError):
    """A live frame was in the hands of a stage that is gone.

    Attributes:
        cause: in a word or two, as the ledger books it.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class StateLost(FrameLost):
    """A stage that kept something of the frame's stream has died and begun anew: what it knew is gone. The stream, or
    its epoch, has to begin anew as well.
    """


class SinkFailed(PipelineError, RuntimeError):
    """A sink that must have a stream cannot write it: the stream ends. The message says which, or what it wrote."""


class ManifestError(PipelineError, OSError):
    """The manifest of a job cannot be used: another process has it, or it cannot be read or written."""


class LedgerError(PipelineError, AssertionError):
    """Frames were lost or repeated: the ledger does not balance. Always a defect of Watchline itself."""


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
