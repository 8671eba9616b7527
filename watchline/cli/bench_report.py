"""What `watchline bench` says of every model: what ran where, the figures, and the same as JSON."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.files import write_complete
from watchline.text import json_text

if TYPE_CHECKING:
    from watchline.pipeline.stages.modelled import Modelled


def what_runs(stage: "Modelled") -> dict[str, object]:
    """The model, its size and its runtime, by name. Raises what `load` raises."""
    from watchline.engines import cpu

    with stage.load() as engine:
        width, height = engine.size
        name, runtime = engine.metadata.name, engine.runtime
    return {"model": name, "runtime": runtime, "cpu": cpu.kind(), "width": width, "height": height}


def report(
    options: argparse.Namespace, about: Mapping[str, object], text: str, figures: Mapping[str, Any], how: str = ""
) -> None:
    """Print what ran and a table, and write the figures where `--json` says.

    Args:
        about: of `what_runs`, and what else the JSON tells of how it was measured.
        how: the same for the reader.
    """
    print("{model} at {width} x {height}, {runtime} on {cpu}".format(**about) + how)
    print(text)
    if options.json:
        write_json(options.json, {**about, "every": options.every, **figures})


def write_json(file: Path, figures: object) -> None:
    """Write figures that JSON can hold. Raises ReportNotWritten."""
    from watchline.measure.errors import ReportNotWritten

    try:
        write_complete(file, f"{json_text(figures, indent=2)}\n".encode())
    except OSError as error:
        raise ReportNotWritten(f"--json {file}: it cannot be written ({error.strerror}); name another place") from error
