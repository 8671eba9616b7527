"""The errors of functions on arrays: arrays that do not fit together, broken labels, libraries that are missing."""

from watchline.errors import WatchlineError


class OpsError(WatchlineError):
    """Root of this folder's errors."""


class DetectionsError(OpsError, ValueError):
    """The arrays of detections do not fit together, or are of the wrong kind."""


class DrawingError(OpsError, ValueError):
    """A picture, or what is drawn on it, has a shape or a value that is not valid."""


class AnnotationRefused(OpsError, ValueError):
    """A file with the labels of a picture is not what its format says."""


class ShapesDiffer(OpsError, ValueError):
    """Two arrays that belong together have different shapes."""


class WrongType(OpsError, TypeError):
    """An argument has a type that the function does not take."""


class LibraryMissing(OpsError, ImportError):
    """A library that only this call needs is not installed."""
