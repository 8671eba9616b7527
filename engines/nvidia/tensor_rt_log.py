"""TensorRT's messages in the log of the process."""

import logging
from collections import deque
from functools import cache

import tensorrt as trt

log = logging.getLogger(__name__)

ERRORS = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
IMPORTANT = (*ERRORS, trt.ILogger.Severity.WARNING)


class Messages(trt.ILogger):
    """Logs TensorRT's messages, and keeps the errors for the exceptions. Even errors are logged as INFO."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # the bindings need an explicit call of their constructor
        self._errors: deque[str] = deque(maxlen=3)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """TensorRT calls it, from any thread."""
        log.log(logging.INFO if severity in IMPORTANT else logging.DEBUG, "%s", msg)
        if severity in ERRORS:
            self._errors.append(msg)

    def error(self) -> str:
        """The last errors in one line. They are then forgotten."""
        said = " ; ".join(" ".join(error.split()) for error in self._errors)
        self._errors.clear()
        return said or "it gives no reason"


@cache
def messages() -> Messages:
    """The logger of the process. There is only one, because TensorRT keeps the first that it gets."""
    return Messages()
