"""A language model as one ONNX file: a step that takes a character and a state, and gives what comes next.

    character (batch,) int32, state (batch, S) float32 -> scores (batch, C) float32, next_state (batch, S) float32

The states of all layers are one vector, so all kinds of networks are run alike. Weights are stored in FP16 with a cast
that runtimes fold when they load.
"""

import io
import warnings
from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import language as engine
from watchline.engines.language import About
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import OPSET
from watchline.models.language import LanguageModel
from watchline.models.rnn import State


class Deployed(nn.Module):
    """One step of a model, its states in one vector."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model.eval()
        self.sizes = [[tensor.shape[1] for tensor in state] for state in model.zeros(1)]

    @property
    def length(self) -> int:
        """S, of the vector."""
        return sum(map(sum, self.sizes))

    def forward(self, character: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        states: list[State] = []
        for sizes in self.sizes:
            before = sum(tensor.shape[1] for one in states for tensor in one)
            states.append(torch.split(state[:, before : before + sum(sizes)], sizes, 1))
        logits, after = self.model(character[:, None].long(), states)
        return logits[:, 0].log_softmax(1), torch.cat([tensor for one in after for tensor in one], 1)


def export(model: LanguageModel, name: str, checkpoint: str, figures: Mapping[str, float]) -> onnx.ModelProto:
    """The step of a model, with its characters in the metadata. Args: checkpoint, the file's sha256."""
    deployed = Deployed(model)
    buffer = io.BytesIO()
    tensors = [*engine.INPUTS, *engine.OUTPUTS]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            deployed,
            (torch.zeros(1, dtype=torch.int32), torch.zeros(1, deployed.length)),
            buffer,  # type: ignore[arg-type]  # taken when exporting by tracing
            input_names=[tensor.name for tensor in engine.INPUTS],
            output_names=[tensor.name for tensor in engine.OUTPUTS],
            dynamic_axes={tensor.name: {0: "batch"} for tensor in tensors},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    halve(graph)
    onnx.checker.check_model(graph)
    engine.write(graph, About(name, model.characters, checkpoint, dict(figures)))
    return graph
