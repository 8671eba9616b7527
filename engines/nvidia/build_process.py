"""Has a plan built by a child process, so that the build can be stopped, and a crash of the builder is an error here.

The builder's memory on the GPU is free again when it is done, and one process has one TensorRT logger.
"""

import json
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import IO

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.interface import Order, Progress, Report

BUILDER = (
    sys.executable,
    "-P",
    "-m",
    "watchline.engines.nvidia.plan_builder",
)  # -P: nothing is imported from where we stand


def build(order: Order, timing: Path, report: Report, command: tuple[str, ...] = BUILDER) -> bytes:
    """The plan that a builder makes; `report` hears how far it is.

    Whatever is raised here meanwhile, Ctrl-C too, ends the builder.

    Args:
        timing: the file with what was measured before, and afterwards with what was measured now.
        command: what to start; the order is appended, as JSON (see plan_builder.py).

    Raises:
        ModelRefused: TensorRT does not take the model.
        InferenceFailed: the builder was stopped or crashed.
    """
    with tempfile.TemporaryDirectory(prefix="watchline-") as folder:
        plan = Path(folder, "plan")
        asked = {
            "model": str(order.model),
            "plan": str(plan),
            "size": order.size,
            "batch": order.batch,
            "timing": str(timing),
        }
        with subprocess.Popen(
            [*command, json.dumps(asked)],
            stdin=subprocess.PIPE,  # closes when this process ends, however it does; the builder ends then
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child:
            try:
                assert child.stdout is not None, "it was asked for"
                words = _follow(child.stdout, report)
                code = child.wait()
            finally:
                child.kill()
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            last = f"; its last words: {words}" if words else ""
            raise InferenceFailed(f"{order.model}: TensorRT's builder {how}, there is no plan{last}")
        return plan.read_bytes()


def _follow(lines: IO[str], report: Report) -> str:
    """Pass the builder's progress on until it ends. Returns what else it said last. Raises what it reports."""
    others: deque[str] = deque(maxlen=3)
    for line in lines:
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            said = line
        match said:
            case {"phase": str(phase), "done": int(done), "total": int(total)}:
                report(Progress(phase, done, total))
            case {"refused": str(reason)}:
                raise ModelRefused(reason)
            case {"failed": str(reason)}:
                raise InferenceFailed(reason)
            case _:
                others.append(line.strip())
    return " | ".join(filter(None, others))
