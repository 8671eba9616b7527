"""Reads the weights of an exported ONNX back into a network: a training goes on from a model that ships, or it is
exported with another size.

In the file, batch normalisations are folded into the convolutions before them, and the first convolution takes BGR.
Here, the normalisations only add a bias. In training, these would normalise every channel to variance 1, and the first
step would destroy what the network has learned. So `calibrate` gives them the statistics of real views, and factors
that undo the normalisation.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.models.errors import CheckpointError

PREFIX, HALF = "model.", ".half"  # of the weights' names in the ONNX
UNNAMED = "onnx::"  # prefix of matrices that the export transposed; they are in the order of the network's layers


def load(model: nn.Module, file: Path, scale: float) -> None:
    """Set all weights of `model` to those of the ONNX that was exported of such a network.

    Args:
        model: begins with the convolution that takes RGB divided by `scale`; it is changed.

    Raises:
        ModelNotFound, ModelRefused: there is no such file, or it is not a model of Watchline.
        CheckpointError: it is another network.
    """
    graph = metadata.parse(file).graph
    try:
        _set(model, weights_of(graph))
    except (KeyError, StopIteration, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: it is no {type(model).__name__} that `watchline export` wrote; name another one to start from"
        ) from error
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.weight.data = first.weight.data[:, [2, 1, 0]] * scale


def weights_of(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """All constants, float32, by their names in the network."""
    return {
        w.name.removeprefix(PREFIX).removesuffix(HALF): torch.tensor(numpy_helper.to_array(w)).float()
        for w in graph.initializer
    }


def _set(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raises KeyError, StopIteration, ValueError, RuntimeError: weights are missing, too many, or of other shapes."""
    unnamed = (weight for name, weight in weights.items() if name.startswith(UNNAMED))
    used = set()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        weight, bias = weights.get(f"{name}.weight"), weights[f"{name}.bias"]
        used |= {f"{name}.weight", f"{name}.bias"}
        if weight is None:
            weight = _matrix(module, unnamed)
        if isinstance(module, nn.Conv2d):
            set_conv(model, name, weight, bias)
        else:
            module.load_state_dict({"weight": weight, "bias": bias})
    left = [name for name in weights if name.endswith((".weight", ".bias")) and name not in used]
    if left or next(unnamed, None) is not None:
        raise KeyError(f"more weights than the network has, e.g. {left[:1]}")


def _matrix(module: nn.Module, unnamed: Iterator[Tensor]) -> Tensor:
    """The next of the matrices without a name, as the layer has it."""
    weight = next(unnamed)
    return weight.T if isinstance(module, nn.Linear) else weight[..., None, None]


def set_conv(model: nn.Module, name: str, weight: Tensor, bias: Tensor) -> None:
    """Set a convolution's weight, and its bias in the batch normalisation after it, which does nothing else.

    Raises ValueError: the shapes differ.
    """
    conv = cast(nn.Conv2d, model.get_submodule(name))
    if conv.weight.shape != weight.shape or bias.shape != weight.shape[:1]:
        raise ValueError(f"{name}: {tuple(weight.shape)}, {tuple(bias.shape)} for {tuple(conv.weight.shape)}")
    conv.weight.data = weight.clone()
    if conv.bias is not None:
        conv.bias.data = bias.clone()
        return
    norm = norm_of(model, name)
    assert norm.running_var is not None, "it keeps statistics"
    norm.running_var.fill_(1.0)
    norm.weight.data.fill_((1 + norm.eps) ** 0.5)
    norm.bias.data = bias.clone()


def norm_of(model: nn.Module, name: str) -> nn.BatchNorm2d:
    """The batch normalisation after a convolution."""
    parent, _, last = name.rpartition(".")
    return cast(nn.BatchNorm2d, model.get_submodule(f"{parent}.{int(last) + 1}"))


@torch.no_grad()
def calibrate(model: nn.Module, x: Tensor) -> None:
    """Give the batch normalisations the statistics of `x`, and the factors that undo the normalisation."""
    seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d), "hooks are on batch norms"
        seen[module] = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(note) for m in norms]
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in seen.items():
        assert norm.running_mean is not None, "they keep statistics"
        assert norm.running_var is not None, "they keep statistics"
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance.clamp(min=1e-4))
        norm.bias.data += mean
        norm.weight.data = (norm.running_var + norm.eps).sqrt()
