"""Reads the weights of an exported ONNX back into a network, so that a training can go on from a model that ships.

In the file, batch normalisations are folded into the convolutions before them, and the first convolution takes BGR.
Here, the normalisations only add a bias, as in `watchline.train.initial`, whose `calibrate` gives them statistics.
"""

from collections.abc import Iterator
from pathlib import Path

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
        _set(model, graph)
    except (KeyError, StopIteration, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: it is no {type(model).__name__} that `watchline export` wrote; name another one to start from"
        ) from error
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.weight.data = first.weight.data[:, [2, 1, 0]] * scale


def _set(model: nn.Module, graph: onnx.GraphProto) -> None:
    """Raises KeyError, StopIteration, RuntimeError: weights are missing or left over, or of another shape."""
    weights = {w.name.removesuffix(HALF): torch.tensor(numpy_helper.to_array(w)).float() for w in graph.initializer}
    unnamed = (weight for name, weight in weights.items() if name.startswith(UNNAMED))
    left = {name for name in weights if name.startswith(PREFIX)}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        mine = {part: f"{PREFIX}{name}.{part}" for part in ("weight", "bias")}
        left -= set(mine.values())
        weight = weights[mine["weight"]] if mine["weight"] in weights else _matrix(module, unnamed)
        module.load_state_dict({"weight": weight} | ({} if module.bias is None else {"bias": weights[mine["bias"]]}))
        if module.bias is None:
            only_add(_norm_after(model, name), weights[mine["bias"]])
    if left or next(unnamed, None) is not None:
        raise KeyError(f"more weights than the network has, e.g. {sorted(left)[:1]}")


def _matrix(module: nn.Module, unnamed: Iterator[Tensor]) -> Tensor:
    """The next of the matrices without a name, as the layer has it."""
    weight = next(unnamed)
    return weight.T if isinstance(module, nn.Linear) else weight[..., None, None]


def _norm_after(model: nn.Module, name: str) -> nn.Module:
    parent, _, last = name.rpartition(".")
    return model.get_submodule(f"{parent}.{int(last) + 1}")


def only_add(norm: nn.Module, bias: Tensor) -> None:
    """Let a batch normalisation do nothing but add a bias (C,)."""
    assert isinstance(norm, nn.BatchNorm2d), "a convolution without a bias is followed by one"
    zero, one = torch.zeros_like(bias), torch.ones_like(bias)
    count = torch.zeros((), dtype=torch.int64)
    norm.load_state_dict(
        {
            "weight": one * (1 + norm.eps) ** 0.5,
            "bias": bias,
            "running_mean": zero,
            "running_var": one,
            "num_batches_tracked": count,
        }
    )
