"""The settings of a run of `watchline train`, kept in its folder, so that `--resume` needs no others."""

import argparse
import json
from pathlib import Path

from watchline.files import write_complete

FILE = "settings.json"
PATHS = ("data", "pretrained", "recipe", "cache")  # kept as absolute paths: a run may be resumed from another folder
KEPT = ("from", "backbone", "epochs", "steps", "batch", "imgsz", "device", "seed", "workers", "patience")


def remember(options: argparse.Namespace) -> None:
    """Write the settings of a run that begins. Raises CheckpointError: they cannot be written."""
    from watchline.models.errors import CheckpointError
    from watchline.train.own_run import CHECKPOINT

    if (options.out / CHECKPOINT).exists():
        return  # it goes on with the settings it was begun with, or is refused
    values = {"model": options.model} | {name: vars(options)[name] for name in KEPT}
    values["data"] = [str(path.absolute()) for path in options.data]
    for name in PATHS[1:]:
        path = vars(options)[name]
        values[name] = str(path.absolute()) if path else None
    if values["from"] and Path(values["from"]).is_file():
        values["from"] = str(Path(values["from"]).absolute())
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write_complete(options.out / FILE, (json.dumps(values, indent=2) + "\n").encode())
    except OSError as error:
        raise CheckpointError(f"{options.out}: it cannot be written ({error.strerror}); name another --out") from error


def recall(options: argparse.Namespace) -> None:
    """With --resume, take the settings that were not given from the run's folder.

    Raises:
        CheckpointError: there is no run in it, or one of another model; without --resume, there is a run.
    """
    from watchline.models.errors import CheckpointError
    from watchline.train.own_run import CHECKPOINT

    if not options.resume:
        if (options.out / CHECKPOINT).exists():
            raise CheckpointError(
                f"{options.out} has a run: --resume goes on with it; name another --out for a new one"
            )
        return
    file = options.out / FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        kept = {name: _checked(name, values[name]) for name in (*KEPT, *PATHS)}
        model = str(values["model"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing: there is no run to resume; begin one with --data") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file} is not the settings of a run ({error}); name them again, without --resume"
        ) from error
    if model != options.model:
        raise CheckpointError(f"{file} is of a run of {model}, not of {options.model}: name that model")
    for name, value in kept.items():
        if vars(options)[name] is None:
            setattr(options, name, value)


def _checked(name: str, value: object) -> object:
    """The value as the command line would have it. Raises ValueError: it cannot be."""
    if name == "data" and isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return [Path(one) for one in value]
    words = name in ("from", "backbone", "device", *PATHS)
    if value is not None and (name == "data" or not isinstance(value, str if words else int)):
        raise ValueError(f"{name} is {str(value)[:40]!r}")
    return Path(str(value)) if name in PATHS and value is not None else value
