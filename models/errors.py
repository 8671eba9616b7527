"""The errors of checkpoints and training sets."""

from watchline.errors import WatchlineError


class ModelError(WatchlineError, ValueError):
    """A model, its checkpoint or its data is not usable."""


class CheckpointError(ModelError):
    """A checkpoint file does not contain what the network expects."""


class DatasetError(ModelError):
    """A training or test set is missing or malformed."""
