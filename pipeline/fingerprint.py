"""Fingerprints: what decides the bytes of a file's outputs, as hashes, so that a later run sees what has changed.

Settings that are only about speed are left out, as they change no byte, and so is the machine. The version of Watchline
is not: the header of the events says it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from watchline.engines import runtimes
from watchline.pipeline.remote.placed import Placed, origin
from watchline.pipeline.sinks.sink import Sink
from watchline.pipeline.stages.modelled import Modelled
from watchline.pipeline.stages.stage import Stage
from watchline.streams.write.mp4 import Mp4Sink
from watchline.version import VERSION

SPEED = ("batch", "workers")  # settings of any stage
OF_MODELS = ("engines", "model", "precision", "runtime", "threads")  # speed too, or what `models_of` says by the file
BLOCK = 1 << 20  # bytes that are hashed at once


def stamp_of(paths: Sequence[Path]) -> tuple[str, int]:
    """Size and time of files, as a text that is another one when they are written again; and their bytes.

    Raises:
        OSError: one of them cannot be found.
    """
    abouts = [path.stat() for path in paths]
    stamps = [f"{about.st_size}-{about.st_mtime_ns}" for about in abouts]
    stamp = stamps[0] if len(stamps) == 1 else _hash("\n".join(stamps).encode())
    return stamp, sum(about.st_size for about in abouts)


def content_of(paths: Sequence[Path], check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file; of several, that of what `sha256sum` prints of them, by their names.

    Args:
        check: called now and then; what it raises ends the work.

    Raises:
        OSError: one of them cannot be read.
    """
    hashes = [sha256(path, check) for path in paths]
    if len(paths) == 1:
        return hashes[0]
    return _hash(b"".join(b"%s  %s\n" % (h.encode(), os.fsencode(p.name)) for h, p in zip(hashes, paths, strict=True)))


def sha256(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file. Args: check, as above. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            check()
            digest.update(block)
    return digest.hexdigest()


def models_of(stages: Iterable[Stage]) -> str:
    """Hash of the model files of a chain, and of the runtimes that run them; by name where a stage is on another host.

    Raises:
        EngineError: a model is not to be had.
        OSError: a model cannot be read.
    """
    found: dict[str, Sequence[Any]] = {}
    for stage in stages:
        own = origin(stage)
        if not isinstance(own, Modelled):
            continue
        if isinstance(stage, Placed) and stage.place.kind == "tcp":
            found[own.name] = (own.runtime, own.model, own.precision)
            continue
        file = own.file
        # Weights of OpenVINO's models, and the sidecar of a plan.
        files = [file, *filter(Path.is_file, (file.with_suffix(".bin"), file.with_name(f"{file.name}.json")))]
        running = own.runtime or next((each.name for each in runtimes.running(file.suffix.lower())), None)
        found[own.name] = (running, *map(sha256, files))
    return _hash(json.dumps(found).encode())


def config_of(
    stream: str, stages: Iterable[Stage], video: Mp4Sink | None, sinks: Iterable[Sink], track: int | None
) -> str:
    """Hash of the settings that hold for a stream.

    Args:
        video: of the files.
        sinks: the others.
        track: the number of the source's video track, if it was chosen.
    """
    chain = {}
    for stage in map(origin, stages):
        left_out = {"streams", *SPEED, *(OF_MODELS if isinstance(stage, Modelled) else ())}
        chain[stage.name] = {key: value for key, value in _settings(stage.of(stream)).items() if key not in left_out}
    others = {sink.name: _settings(sink) for sink in sinks}
    outputs = {"video": video and _settings(video), "sinks": others}
    whole = {"version": VERSION, "stages": chain, "outputs": outputs, "track": track}
    return _hash(json.dumps(whole, sort_keys=True).encode())


def _settings(owner: Stage | Sink | Mp4Sink) -> dict[str, Any]:
    settings: dict[str, Any] = TypeAdapter(type(owner)).dump_python(owner, mode="json")
    return settings


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
