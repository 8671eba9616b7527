"""Builds a TensorRT plan, in a process of its own: `python -m watchline.engines.nvidia.plan_builder ORDER` (see
build_process.py).

ORDER is JSON: model, plan (the file to write), size, batch, timing. Lines of JSON on the standard output tell how far
it is: {"phase", "done", "total"}; and at the end {"refused"} or {"failed"} with the reason, or nothing.
"""

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import onnx
import tensorrt as trt

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.interface import Order, Progress, Report
from watchline.engines.nvidia.plan_graph import INPUT, cast_first, sized
from watchline.engines.nvidia.tensor_rt_log import Messages, messages
from watchline.engines.nvidia.watch_parent import die_with_the_parent
from watchline.engines.whole_file import write_whole


class Monitor(trt.IProgressMonitor):
    """Passes TensorRT's progress on: the steps of the outermost phase that is under way."""

    def __init__(self, report: Report) -> None:
        trt.IProgressMonitor.__init__(self)
        self._report = report
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()  # TensorRT calls from threads of its own

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        with self._lock:
            self._steps[phase_name] = num_steps
        self._report(Progress(phase_name, 0, num_steps))

    def step_complete(self, phase_name: str, step: int) -> bool:
        with self._lock:
            steps = self._steps.get(phase_name, step + 1)
        self._report(Progress(phase_name, step + 1, steps))
        return True

    def phase_finish(self, phase_name: str) -> None:
        with self._lock:
            self._steps.pop(phase_name, None)


def build(order: Order, timing: Path, report: Report) -> bytes:
    """The plan of a model for this machine's GPU.

    FP32 is computed as FP32: TF32, which TensorRT would take by itself, has the mantissa of FP16. Who wants that speed
    exports the model in FP16.

    Raises:
        ModelRefused: TensorRT's parser or builder does not take the model.
    """
    logger = messages()
    builder = trt.Builder(logger)
    # All that 11 knows is strongly typed networks; there the flag is taken and does nothing.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    model = cast_first(sized(onnx.load_model(order.model, load_external_data=False), order.size))
    if not parser.parse(model.SerializeToString(), str(order.model)):
        raise ModelRefused(f"{order.model}: TensorRT {trt.__version__} cannot parse it: {_complaints(parser, logger)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = monitor = Monitor(report)
    profile = builder.create_optimization_profile()
    (width, height), (low, high) = order.size, order.batch
    profile.set_shape(INPUT, *((count, height, width, 3) for count in (low, high, high)))
    config.add_optimization_profile(profile)
    cache = _attach(config, timing)
    plan = builder.build_serialized_network(network, config)
    del monitor  # it must outlive the build
    if plan is None:
        raise ModelRefused(f"{order.model}: TensorRT {trt.__version__} cannot build it: {logger.error()}")
    if cache is not None:
        write_whole(timing, bytes(cache.serialize()))
    return bytes(plan)


def _attach(config: trt.IBuilderConfig, timing: Path) -> trt.ITimingCache | None:
    """The timing cache from its file, or an empty one where the file is missing or of another machine."""
    for content in (timing.read_bytes() if timing.is_file() else b"", b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _complaints(parser: trt.OnnxParser, logger: Messages) -> str:
    """What the parser has to say, in one line; the operators that it does not take are named in it."""
    found = [parser.get_error(i) for i in range(parser.num_errors)]
    lines = [f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in found]
    return " ".join(" ; ".join(lines[:3]).split()) or logger.error()


def main(order: str, tell: Callable[[dict[str, object]], None]) -> int:
    """Build what the JSON says and write the plan."""
    asked = json.loads(order)
    size, batch = (tuple(map(int, asked[key])) for key in ("size", "batch"))
    try:
        plan = build(
            Order(Path(asked["model"]), size, batch),  # type: ignore[arg-type]  # two numbers each
            Path(asked["timing"]),
            lambda p: tell({"phase": p.phase, "done": p.done, "total": p.total}),
        )
        write_whole(Path(asked["plan"]), plan)
    except ModelRefused as error:
        tell({"refused": str(error)})
    except (InferenceFailed, OSError, MemoryError) as error:
        tell({"failed": f"{asked['model']}: {error}"})
    else:
        return 0
    return 1


def _tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Build what the command line says, and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, inside TensorRT too
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # what it says last tells why it crashed
    die_with_the_parent()
    sys.exit(main(sys.argv[1], _tell))


if __name__ == "__main__":
    serve()
