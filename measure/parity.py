"""Parity: do a checkpoint's numbers survive on the way to the pipeline, and where are they lost if they do not?

    checkpoint -> ONNX in FP32 -> engine, by each runtime -> in the pipeline

    for compared in parity([Path("yolov2.cfg"), Path("yolov2.weights")], Path("yolov2.onnx"), pictures):
        print(compared.name, compared.difference, compared.over)

What the checkpoint itself gives is computed by torch, for what torch has trained. Darknet's weights and other people's
ONNX have no such program at hand: theirs is the FP32 export, computed node by node by ONNX's own reference in NumPy,
which shares no code with any runtime. (Whether an export is what Darknet computes, our tests ask Darknet.) All of them
get the same pictures, resampled by us. The last step is about that: how far is what is found from what is found in
pictures as the checkpoint's own program prepares them?
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from watchline import engines
from watchline.engines import metadata, runtimes
from watchline.engines.engine import Engine, Metadata
from watchline.engines.inside import inside, of_the_picture
from watchline.engines.tasks import TASKS
from watchline.export.checkpoint import to_onnx
from watchline.export.digest import sha256
from watchline.export.precision import layers
from watchline.export.recognise import recognise
from watchline.export.request import Request
from watchline.measure import own_input
from watchline.measure.accuracy import Accuracy, Find
from watchline.measure.comparison import LIMITS, Batch, Compared, Comparison, ComparisonStep, Limits
from watchline.measure.differences import Outputs
from watchline.measure.errors import ComparisonRefused
from watchline.measure.own_input import OwnInput
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Image

MANY = 1000  # tensors, some at a time; two-stage networks have 5000, most of them in the suppression


def parity(
    paths: Sequence[Path],
    file: Path,
    pictures: Sequence[Image],
    *,
    detector: Detector | None = None,
    arch: str | None = None,
    family: str | None = None,
    measure: Callable[[Find], Accuracy] | None = None,
    limits: Mapping[str, Limits] = LIMITS,
    precision: str | None = None,
    resize: str | None = None,
    asked: Mapping[str, Any] | None = None,
    epsilon: float | None = None,
) -> Iterator[Compared]:
    """Each step of the way as it was compared with the checkpoint; the first is the checkpoint itself.

    Args:
        paths, arch, family: of the checkpoint, as `to_onnx` has them.
        file: the engine that was made of it.
        pictures: (H, W, 3) uint8 BGR, at least one.
        detector: whose `conf` and `iou` say what is shown.
        measure: measures the mAP on labelled pictures, e.g. `partial(accuracy_of, data=folder)`.
        limits: by precision.
        precision: of the engine; None for what `precision_of` finds.
        resize, asked, epsilon: what the export was told, as a Request's `resize`, `input` and `epsilon`.

    Raises:
        ComparisonRefused: nothing here runs the engine, it was made of another checkpoint, or there are no pictures.
        ExportError, EngineError: checkpoint or engine are refused.
    """
    names, _ = runtimes_of(file)
    if not names:
        known = ", ".join(runtimes.formats())
        raise ComparisonRefused(
            f"{file}: no runtime here runs it; expected a model ({known}), named after its checkpoint"
        )
    detector = replace(detector or Detector(), model=str(file), runtime=names[0])
    precision = precision or precision_of(file)
    with TemporaryDirectory(prefix="watchline-parity-") as folder:
        with engines.load(file, names[0]) as engine:
            told, size = engine.metadata, engine.size
        if len(TASKS[told.task].inputs) > 1:
            raise ComparisonRefused(
                f"{file}: it takes {' and '.join(each.name for each in TASKS[told.task].inputs)}; expected a model "
                "that takes pictures alone: measure this one by `watchline bench map`"
            )
        if all(path.is_file() for path in paths) and told.checkpoint not in map(sha256, paths):
            raise ComparisonRefused(
                f"{file}: it was made of a file with the sha256 {told.checkpoint[:12]}…, and {paths[-1]} has another; "
                "name the checkpoint that it was made of"
            )
        model, first = _checkpoint(paths, Request(told.name, told.labels, size, resize, asked, epsilon), arch, family)
        about = _about(model)
        comparison = Comparison(pictures, about, size, detector, measure, limits)
        yield comparison.add(first)
        again = Path(folder) / "exported.onnx"
        onnx.save(model, again)
        usual = runtimes.running(again.suffix)[0].name
        with engines.load(again, usual, size) as engine:
            yield comparison.add(_step("exported again", engine, again, usual, precision_of(again)))
        for name in names:
            with engines.load(file, name, size) as engine:
                yield comparison.add(_step(file.name, engine, file, name, precision))
        if TASKS[about.task].finds_boxes:
            yield comparison.add_pipeline(f"{file.name} in the pipeline", detector, precision)
            if own := _own_input(paths, arch, family, about.resize):
                with engines.load(again, usual, size) as engine:
                    yield comparison.add_input(f"pictures as {own.name} prepares them", engine.infer, own)


def runtimes_of(file: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the runtimes that can run the file here; and of those that are missing, with the reason."""
    there = engines.available()
    known = [runtime.name for runtime in runtimes.running(file.suffix.lower())]
    missing: dict[str, str] = {name: there[name] for name in known if there[name].startswith("not available")}
    return [name for name in known if name not in missing], missing


def precision_of(file: Path) -> str:
    """In what precision an ONNX file computes: "int8", "fp16" (also if only its weights are stored so) or "fp32".

    Other files do not tell: "fp32", as no other limits can be assumed. Raises ModelNotFound, ModelRefused.
    """
    if file.suffix.lower() != ".onnx":
        return "fp32"
    graph = metadata.parse(file).graph
    if any(node.op_type == "QuantizeLinear" for node in graph.node):
        return "int8"
    return "fp16" if any(weight.data_type == TensorProto.FLOAT16 for weight in graph.initializer) else "fp32"


def _checkpoint(
    paths: Sequence[Path], request: Request, arch: str | None, family: str | None
) -> tuple[onnx.ModelProto, ComparisonStep]:
    """The checkpoint exported in FP32, and what it gives itself."""
    if recognise(paths) == "torch":
        return _by_torch(paths, request, arch)
    model = to_onnx(paths, request, arch, family)
    return model, _by_reference(model)


def _own_input(paths: Sequence[Path], arch: str | None, family: str | None, resize: str) -> OwnInput | None:
    """How the program that the checkpoint comes from prepares pictures; None if that is not known, or it is ours."""
    match recognise(paths):
        case "darknet":
            return own_input.of_darknet(resize)
        case "onnx":
            return own_input.of_family(paths[0], family, resize)
    from watchline.export.pytorch import torchvision_nets

    found = arch or torchvision_nets.recognise(paths[0])
    return own_input.TORCHVISION if found and resize == own_input.TORCHVISION.resize else None


def _step(name: str, engine: Engine, file: Path, runtime: str, precision: str) -> ComparisonStep:
    name = f"{name} by {engine.runtime}"
    if file.suffix.lower() != ".onnx" or not runtimes.find(runtime).inside:
        return ComparisonStep(name, engine.infer, precision)
    model = onnx.load(file)
    return ComparisonStep(
        name, engine.infer, precision, model.graph, lambda batch: inside(model, runtime, batch, _worth_a_look(model))
    )


def _worth_a_look(model: onnx.ModelProto) -> list[str]:
    """Tensors to compare: all, but of graphs with thousands of nodes only what layers with weights give."""
    names = of_the_picture(model.graph)
    if len(names) <= MANY:
        return names
    weighted = layers.find(layers.prepared(model).graph).weighted
    return [name for name in names if name in weighted]


def _by_torch(paths: Sequence[Path], request: Request, arch: str | None) -> tuple[onnx.ModelProto, ComparisonStep]:
    from watchline.export.pytorch import reference

    with reference.traced() as modules:
        model = to_onnx(paths, request, arch)
    module = modules[-1]
    step = ComparisonStep(
        f"{paths[0].name} by torch",
        lambda batch: reference.run(module, model, batch),
        graph=model.graph,
        inside=lambda batch: reference.inside(module, model, batch),
    )
    return model, step


def _by_reference(model: onnx.ModelProto) -> ComparisonStep:
    evaluator = ReferenceEvaluator(model)
    names = [value.name for value in model.graph.output]

    def results(batch: Batch) -> dict[str, Any]:
        with np.errstate(over="ignore", invalid="ignore"):  # its sigmoid computes both of two branches
            return dict(evaluator.run(None, {"images": batch}, intermediate=True))

    def run(batch: Batch) -> Outputs:
        return {name: value for name, value in results(batch).items() if name in names}

    def tensors(batch: Batch) -> list[tuple[str, NDArray[Any]]]:
        return [(name, value) for name, value in results(batch).items() if isinstance(value, np.ndarray)]

    name = f"checkpoint by onnx.reference {onnx.__version__}"
    return ComparisonStep(name, run, graph=model.graph, inside=tensors, slow=True)


def _about(model: onnx.ModelProto) -> Metadata:
    return metadata.from_properties({prop.key: prop.value for prop in model.metadata_props}, "checkpoint")
