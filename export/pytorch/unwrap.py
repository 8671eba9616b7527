"""The state dict inside what a training has saved: beside an optimizer, below a name, with prefixes, as an average.

WRAPPERS are what trainings call it, AVERAGES the average over the last steps beside it, and PREFIXES are before every
name where the network was parallel, compiled, or a part of another module, as in Lightning.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

AVERAGES = ("model_ema", "ema", "state_dict_ema", "ema_state_dict", "params_ema")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module", "shadow")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.")
COUNTS = ("n_averaged", "updates", "decay")  # of an average, beside its tensors
LIGHTNING = "pytorch-lightning_version"
DEEPEST = 4  # wrappers in one another


def unwrap(saved: object) -> tuple[object, str]:
    """What is in it, with plain names; anything that holds no tensors as it is. And what was chosen, in words or "".

    An average over the steps of the training is taken where there is one: it is what trainings measure.
    """
    if not isinstance(saved, Mapping):
        return saved, ""
    for key in AVERAGES:
        if (state := _state(saved.get(key))) is not None:
            return _bare(state), f"took the weights averaged over the training, `{key}`"
    if (state := _state(saved)) is None:
        return saved, ""
    own = saved.get(LIGHTNING) is not None
    return _bare({k: v for k, v in state.items() if str(k).startswith("model.")} or state if own else state), ""


def _state(found: object, depth: int = 0) -> Mapping[Any, Any] | None:
    """The mapping that holds tensors, at some depth; None if there is none."""
    if not isinstance(found, Mapping) or depth > DEEPEST:
        return None
    for key in WRAPPERS:
        if (inner := _state(found.get(key), depth + 1)) is not None:
            return inner
    return found if any(isinstance(value, Tensor) for value in found.values()) else None


def _bare(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Without counts of an average, and without the prefixes that every name has."""
    names = {key: value for key, value in state.items() if key not in COUNTS}
    while names and all(isinstance(name, str) for name in names):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names
