"""What can go wrong with a checkpoint or a training set."""

from watchline.errors import WatchlineError


class ModelError(WatchlineError, ValueError):
    """A model, its checkpoint or its data is not what the code needs."""


class CheckpointError(ModelError):
    """A checkpoint file holds something else than the network expects."""


class DatasetError(ModelError):
    """A training or test set is missing or malformed."""
