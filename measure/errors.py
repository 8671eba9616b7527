"""What can go wrong when a model is measured."""

from watchline.errors import WatchlineError


class MeasureError(WatchlineError):
    """Root of all errors of measuring. The message says what, what it is, what was expected, and what to do."""


class DataNotFound(MeasureError, FileNotFoundError):
    """There is no data set at the path, or a part of it is missing."""


class DataRefused(MeasureError, ValueError):
    """The data set is not what its layout says, or does not go with the model."""


class ReportNotWritten(MeasureError, OSError):
    """The figures cannot be written where they were asked for."""


class ComparisonRefused(MeasureError, ValueError):
    """Two things were to be compared that cannot be."""


class NoFrames(MeasureError, TimeoutError):
    """A chain wrote too few frames in its time for a figure."""


class LibraryNotInstalled(MeasureError, ImportError):
    """A library that only this measurement needs is not installed."""
