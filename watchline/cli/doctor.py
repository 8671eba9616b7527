"""`watchline doctor`: what this machine has, and what Watchline would choose on it.

It never fails: what cannot be found out is said to be unknown, with the reason.
"""

import argparse
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import watchline
from watchline.cli.exit_codes import DONE
from watchline.engines.runtimes import RUNTIMES

PACKAGES = "numpy opencv-python-headless pyzmq av onnx pydantic tqdm".split()
Rows = list[tuple[str, str]]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options: none."""
    return commands.add_parser("doctor", help="say what this machine has and what would be chosen", allow_abbrev=False)


def run(options: argparse.Namespace) -> int:
    """Print the sections."""
    sections: dict[str, Callable[[], Rows]] = {
        "machine": _machine,
        "gpu": _gpu,
        "runtimes": _runtimes,
        "video": _video,
        "libraries": _libraries,
        "models": _models,
        "would be chosen": _choice,
    }
    for title, section in sections.items():
        print(title)
        for name, text in _asked(section):
            print(f"  {name:<22} {text}")
    return DONE


def _asked(section: Callable[[], Rows]) -> Rows:
    try:
        return section()
    except Exception as error:  # a broken driver or library is a finding here, whatever it raises
        return [("unknown", " ".join(f"{type(error).__name__}: {error}".split()))]


def _machine() -> Rows:
    from watchline.engines import cpu
    from watchline.engines.cores import cores

    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    return [
        ("watchline", watchline.__version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{system}, {platform.system()} {platform.release()}, {platform.machine()}"),
        ("cores", f"{cores()} to use of {os.cpu_count()}: {cpu.kind()}"),
        ("memory", _memory()),
    ]


def _memory() -> str:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return "unknown: there is no /proc/meminfo"
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    total, free = (kibibytes[name] / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, {free:.1f} of it free"


def _gpu() -> Rows:
    from watchline.engines.nvidia.cuda_driver import NoDriver, ask

    try:
        driver = ask()
    except NoDriver as reason:
        return [("NVIDIA", f"none found: {reason}")]
    return [
        ("driver", driver.version),
        *(
            (f"device {i}", f"{gpu.name}, {gpu.gibibytes:.1f} GiB, compute capability {gpu.capability}")
            for i, gpu in enumerate(driver.gpus)
        ),
    ]


def _runtimes() -> Rows:
    from watchline import engines

    integers = [(f"INT8 by {name}", text) for name, text in engines.integer_products().items()]
    return [*engines.available().items(), *integers, *_two_builds(), ("tensorrt's plans", _plans())]


def _two_builds() -> Rows:
    from watchline.engines.onnx_builds import both_installed

    advice = both_installed()
    return [("two builds", advice)] if advice else []


def _plans() -> str:
    from watchline.engines.cache_folder import where

    folder = where("plans")
    sizes = [file.stat().st_size for file in folder.glob("*.engine")]
    return f"{len(sizes)} in {folder}, {sum(sizes) / 1e6:.1f} MB"


def _video() -> Rows:
    from watchline.streams import codecs

    def built_in(found: dict[str, bool]) -> str:
        missing = [name for name, there in found.items() if not there]
        return ", ".join(name for name, there in found.items() if there) + (
            f"; not built in: {', '.join(missing)}" if missing else ""
        )

    return [
        ("FFmpeg", codecs.ffmpeg()),
        ("decoders", built_in(codecs.decoders())),
        ("encoders", f"{built_in(codecs.encoders())} (nvenc works with an NVIDIA GPU only)"),
    ]


def _libraries() -> Rows:
    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    of_runtimes = [package for runtime in RUNTIMES for package in runtime.packages]
    return [(package, installed(package)) for package in dict.fromkeys([*PACKAGES, *of_runtimes, "torch"])]


def _models() -> Rows:
    from watchline.engines import metadata, zoo
    from watchline.engines.tasks import TASKS

    rows = []
    for name in zoo.names():
        about = metadata.read(zoo.find(name))
        labels = f"{len(about.labels)} {TASKS[about.task].labels}"
        small = ", also in INT8" if zoo.in_int8(name) else ""
        rows.append((name, f"{about.task}, {labels}, {about.size[0]} x {about.size[1]}{small}"))
    return rows or [("none", "no model ships with this installation: name a file by --model")]


def _choice() -> Rows:
    from watchline.pipeline.stages.detector import Detector

    detector = Detector()
    with detector.load() as engine:
        return [
            ("model", f"{engine.metadata.name} at {engine.size[0]} x {engine.size[1]}"),
            ("runtime", engine.runtime),
            ("workers", f"{detector.workers}, each an engine with {_threads(detector.threads)}"),
        ]


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"
