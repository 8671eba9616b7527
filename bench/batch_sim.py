"""What would a job of a hundred million files on a thousand machines need? A simulation of `annotate --shard K/N`.

    python bench/batch_sim.py
    python bench/batch_sim.py --files 1e6 --machines 50 --parts 50 200 800 --seconds 30

Every file is drawn: its length (log-normal), and its part (by chance, as by the hash of a name). A scheduler gives each
machine that is free the next part; machines differ in speed, and die now and then, which costs the file that was at
work and a new start. A row and a turn of the manifest are measured on the disk that has temporary files here.
"""

import argparse
import heapq
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.manifest import DONE, NAME, Figures, Output, Planned, opened

AT_ONCE = 10_000_000  # files that are drawn together
ROWS = 2000  # of the manifest that is measured
BLOCK = 8 << 20  # bytes of a request to S3, reading and writing
PUT, GET, LIST = 5e-6, 4e-7, 5e-6  # dollars a request: AWS's list prices of S3 Standard in us-east-1
KEYS = 1000  # names that a request lists


@dataclass(frozen=True)
class World:
    """What is assumed.

    Attributes:
        files, machines: how many.
        seconds: that a machine takes for a file, the mean; `spread`, of their logarithm.
        overhead: seconds for each file beside that.
        start: seconds from the start of a command to its first file.
        lives: hours that a machine lives on average, running.
        slow: share of the machines that take twice as long.
        megabytes: of a file; its video is as large again.
    """

    files: int = 100_000_000
    machines: int = 1000
    seconds: float = 10.0
    spread: float = 1.0
    overhead: float = 0.02
    start: float = 2.0
    lives: float = 500.0
    slow: float = 0.02
    megabytes: float = 20.0


def lengths(world: World, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Seconds of the files, so many at once that they fit in memory."""
    middle = math.log(world.seconds) - world.spread**2 / 2  # the mean is exp(middle + spread² / 2)
    for begin in range(0, world.files, AT_ONCE):
        yield rng.lognormal(middle, world.spread, min(AT_ONCE, world.files - begin)) + world.overhead


def work_of_parts(world: World, counts: list[int], rng: np.random.Generator) -> tuple[list[NDArray[np.float64]], float]:
    """Seconds of each part, for so many parts; and of the longest file."""
    works, longest = [np.zeros(count) for count in counts], 0.0
    for seconds in lengths(world, rng):
        longest = max(longest, float(seconds.max()))
        for work in works:
            work += np.bincount(rng.integers(len(work), size=len(seconds)), seconds, len(work))
    return works, longest


def schedule(world: World, work: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, int]:
    """Seconds until the last part is done, and how many machines have died. A part whose machine dies goes on."""
    speeds = np.where(rng.random(world.machines) < world.slow, 0.5, 1.0)
    free = [(0.0, number) for number in range(world.machines)]
    deaths, last = 0, 0.0
    for seconds in work:
        at, number = heapq.heappop(free)
        needed = seconds / speeds[number]
        died = int(rng.poisson(needed / (world.lives * 3600)))
        lost = died * (world.start + world.seconds / 2 / speeds[number])  # half a file, and a new start
        heapq.heappush(free, (at + world.start + needed + lost, number))
        deaths, last = deaths + died, max(last, at + world.start + needed + lost)
    return last, deaths


def manifest_costs() -> tuple[float, float]:
    """Bytes of a row with two outputs, and seconds of a turn: claimed, and finished."""
    names = (f"2026/11/camera-{number % 100:03}/{number:08}" for number in range(ROWS))
    files = (Planned(name, {"path": f"/data/{name}.mp4"}, 1 << 24, "1" * 30, "c" * 64, "m" * 64) for name in names)
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder)) as manifest:
            manifest.plan(files, retry=False, once=False)
            began = time.perf_counter()
            while (row := manifest.claim(lambda row: "")) is not None:
                outputs = [Output(Path(f"{row.name}{suffix}"), 1 << 20, "o" * 64) for suffix in (".mp4", ".jsonl")]
                manifest.finish(row, DONE, Figures("1" * 30, "f" * 64, 300, 10.0), outputs=outputs)
            turn = (time.perf_counter() - began) / ROWS
        return (Path(folder) / NAME).stat().st_size / ROWS, turn


def requests_of(world: World) -> tuple[float, float, float]:
    """Requests to S3: reading, writing (the video in blocks, begun and completed; the events at once), listing."""
    blocks = math.ceil(world.megabytes * 1e6 / BLOCK)
    return world.files * blocks, world.files * (blocks + 2 + 1), math.ceil(world.files / KEYS)


def main() -> None:
    """Print what comes out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in World().__dict__.items():
        kind = (lambda text: int(float(text))) if isinstance(value, int) else float
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--parts", type=int, nargs="+", default=[1000, 4000, 16_000, 64_000])
    options = vars(parser.parse_args())
    parts = options.pop("parts")
    world, rng = World(**options), np.random.default_rng(0)
    works, longest = work_of_parts(world, parts, rng)
    total = float(works[0].sum())
    size, turn = manifest_costs()
    print(f"{world.files:,} files on {world.machines} machines: {total / 3600:,.0f} hours of work, ", end="")
    print(f"{total / world.machines / 3600:.1f} hours at least; the longest file has {longest / 60:.0f} minutes")
    print(f"a row of the manifest: {size:.0f} bytes; a turn, claimed and finished: {turn * 1e3:.1f} ms\n")
    print(f"{'parts':>8}{'hours':>9}{'use':>7}{'deaths':>8}{'rows each':>11}{'MB each':>9}{'turns/s each':>14}")
    for work in works:
        seconds, deaths = schedule(world, work, rng)
        each = world.files / len(work)
        rate = each / float(work.mean())
        print(
            f"{len(work):8}{seconds / 3600:9.2f}{total / world.machines / seconds:7.3f}{deaths:8}{each:11,.0f}"
            f"{each * size / 1e6:9.1f}{rate:14.2f}"
        )
    print(f"\none manifest for all: {world.files * size / 1e9:.0f} GB, ", end="")
    print(f"{world.files / (total / world.machines):,.0f} turns a second, where one disk does {1 / turn:,.0f}")
    got, put, listed = requests_of(world)
    dollars = got * GET + put * PUT + listed * LIST
    rates = [count / (total / world.machines) for count in (got, put)]
    print(f"from S3 and to it: {got:.2g} requests to read, {put:.2g} to write: {dollars:,.0f} dollars; ", end="")
    print(f"{rates[0]:,.0f} and {rates[1]:,.0f} a second")


if __name__ == "__main__":
    main()
