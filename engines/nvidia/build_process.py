"""Builds a plan in a child process. So a build can be stopped, and a crash of the builder is an error here.

The builder's memory on the GPU is free again when the child ends, and each process has one TensorRT logger.
"""

import json
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import IO

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest, OnProgress

BUILDER = (
    sys.executable,
    "-P",
    "-m",
    "watchline.engines.nvidia.plan_builder",
)  # -P: nothing is imported from the current folder


def build(request: BuildRequest, timing: Path, report: OnProgress, command: tuple[str, ...] = BUILDER) -> bytes:
    """Build a plan in a child process.

    Any exception here, such as Ctrl-C, ends the child.

    Args:
        request: what to build.
        timing: file with the measurements of earlier builds, to which this build adds its own.
        report: called with the progress.
        command: the command to start; the request is appended as JSON (see plan_builder.py).

    Raises:
        ModelRefused: TensorRT does not accept the model.
        InferenceFailed: the child was stopped or crashed.
    """
    with tempfile.TemporaryDirectory(prefix="watchline-") as folder:
        plan = Path(folder, "plan")
        asked = {
            "model": str(request.model),
            "plan": str(plan),
            "size": request.size,
            "batch": request.batch,
            "timing": str(timing),
        }
        with subprocess.Popen(
            [*command, json.dumps(asked)],
            stdin=subprocess.PIPE,  # it closes when this process ends for any reason, and then the child ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child:
            try:
                assert child.stdout is not None, "it was asked for"
                last = _follow(child.stdout, report)
                code = child.wait()
            finally:
                child.kill()
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            output = f"; its last lines: {last}" if last else ""
            raise InferenceFailed(f"{request.model}: TensorRT's builder {how}, there is no plan{output}")
        return plan.read_bytes()


def _follow(lines: IO[str], report: OnProgress) -> str:
    """OnProgress the child's progress until it ends. Returns its last other lines. Raises the error that it reports."""
    others: deque[str] = deque(maxlen=3)
    for line in lines:
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            said = line
        match said:
            case {"phase": str(phase), "done": int(done), "total": int(total)}:
                report(BuildProgress(phase, done, total))
            case {"refused": str(reason)}:
                raise ModelRefused(reason)
            case {"failed": str(reason)}:
                raise InferenceFailed(reason)
            case _:
                others.append(line.strip())
    return " | ".join(filter(None, others))
