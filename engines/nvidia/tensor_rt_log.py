"""What TensorRT says, in the log of the process."""

import logging
from collections import deque
from functools import cache

import tensorrt as trt

log = logging.getLogger(__name__)

ERRORS = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
NEWS = (*ERRORS, trt.ILogger.Severity.WARNING)


class Messages(trt.ILogger):
    """TensorRT's messages go to the log; errors are but news there: they are raised with the text kept here."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # the bindings want their own constructor to be called by name
        self._errors: deque[str] = deque(maxlen=3)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT, from any thread."""
        log.log(logging.INFO if severity in NEWS else logging.DEBUG, "%s", msg)
        if severity in ERRORS:
            self._errors.append(msg)

    def error(self) -> str:
        """The last errors, in one line; they are then forgotten."""
        said = " ; ".join(" ".join(error.split()) for error in self._errors)
        self._errors.clear()
        return said or "it gives no reason"


@cache
def messages() -> Messages:
    """The one logger of the process: TensorRT keeps the first that it is given, for everything."""
    return Messages()
