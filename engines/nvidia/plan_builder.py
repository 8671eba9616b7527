"""The process that builds a TensorRT plan: `python -m watchline.engines.nvidia.plan_builder REQUEST`.

build_process.py starts it. REQUEST is JSON: model, plan (the file to write), size, batch, timing. It prints lines of
JSON to the standard output: its progress, {"phase", "done", "total"}, and at the end {"refused"} or {"failed"} with the
reason, or nothing.
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
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest, OnProgress
from watchline.engines.nvidia.plan_graph import INPUT, cast_first, sized
from watchline.engines.nvidia.tensor_rt_log import Messages, messages
from watchline.engines.nvidia.watch_parent import die_with_the_parent
from watchline.files import write_complete


class Monitor(trt.IProgressMonitor):
    """Reports TensorRT's progress: every phase that starts, and every step of it."""

    def __init__(self, report: OnProgress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._report = report
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()  # TensorRT calls the monitor from its own threads

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        with self._lock:
            self._steps[phase_name] = num_steps
        self._report(BuildProgress(phase_name, 0, num_steps))

    def step_complete(self, phase_name: str, step: int) -> bool:
        with self._lock:
            steps = self._steps.get(phase_name, step + 1)
        self._report(BuildProgress(phase_name, step + 1, steps))
        return True

    def phase_finish(self, phase_name: str) -> None:
        with self._lock:
            self._steps.pop(phase_name, None)


def build(request: BuildRequest, timing: Path, report: OnProgress) -> bytes:
    """Build the plan of a model for this machine's GPU.

    FP32 is computed as FP32. TF32, TensorRT's default, has the mantissa of FP16; for its speed, export the model in
    FP16.

    Raises:
        ModelRefused: TensorRT's parser or builder does not accept the model.
    """
    logger = messages()
    builder = trt.Builder(logger)
    # TensorRT 11 has only strongly typed networks; it accepts the flag and ignores it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    model = cast_first(sized(onnx.load_model(request.model, load_external_data=False), request.size))
    if not parser.parse(model.SerializeToString(), str(request.model)):
        raise ModelRefused(
            f"{request.model}: TensorRT {trt.__version__} cannot parse it: {_complaints(parser, logger)}"
        )
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = monitor = Monitor(report)
    profile = builder.create_optimization_profile()
    (width, height), (low, high) = request.size, request.batch
    for tensor in map(network.get_input, range(network.num_inputs)):
        dims = tensor.shape
        row = (height, width, 3) if tensor.name == INPUT else tuple(dims[i] for i in range(1, len(dims)))
        profile.set_shape(tensor.name, *((count, *row) for count in (low, high, high)))
    config.add_optimization_profile(profile)
    cache = _attach(config, timing)
    plan = builder.build_serialized_network(network, config)
    del monitor  # it must outlive the build
    if plan is None:
        raise ModelRefused(f"{request.model}: TensorRT {trt.__version__} cannot build it: {logger.error()}")
    if cache is not None:
        write_complete(timing, bytes(cache.serialize()))
    return bytes(plan)


def _attach(config: trt.IBuilderConfig, timing: Path) -> trt.ITimingCache | None:
    """The timing cache from its file; an empty one if the file is missing or from another machine."""
    for content in (timing.read_bytes() if timing.is_file() else b"", b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _complaints(parser: trt.OnnxParser, logger: Messages) -> str:
    """The parser's errors in one line, which names the operators that it does not accept."""
    found = [parser.get_error(i) for i in range(parser.num_errors)]
    lines = [f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in found]
    return " ".join(" ; ".join(lines[:3]).split()) or logger.error()


def main(request: str, send: Callable[[dict[str, object]], None]) -> int:
    """Build the plan of a request (JSON) and write it. Returns the exit code."""
    asked = json.loads(request)
    size, batch = (tuple(map(int, asked[key])) for key in ("size", "batch"))
    try:
        plan = build(
            BuildRequest(Path(asked["model"]), size, batch),  # type: ignore[arg-type]  # two numbers each
            Path(asked["timing"]),
            lambda p: send({"phase": p.phase, "done": p.done, "total": p.total}),
        )
        write_complete(Path(asked["plan"]), plan)
    except ModelRefused as error:
        send({"refused": str(error)})
    except (InferenceFailed, OSError, MemoryError) as error:
        send({"failed": f"{asked['model']}: {error}"})
    else:
        return 0
    return 1


def _print(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Build the plan that the command line requests, and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the process at once, inside TensorRT too
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # after a crash, the last lines show the reason
    die_with_the_parent()
    sys.exit(main(sys.argv[1], _print))


if __name__ == "__main__":
    serve()
