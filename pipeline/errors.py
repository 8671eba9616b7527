"""What can go wrong in a running pipeline."""


class PipelineError(Exception):
    """Root of all errors of the running system."""


class ConfigError(PipelineError, ValueError):
    """Settings that cannot be: every mistake is named, one a line, with what is allowed."""


class StageError(PipelineError, RuntimeError):
    """A stage failed on a frame, or could not start. The message names the stage."""


class LedgerError(PipelineError, AssertionError):
    """Frames were lost or repeated: the ledger does not balance. Always a defect of Watchline itself."""
