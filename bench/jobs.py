"""What does a file cost beyond its frames in a job with a manifest, and what does a row of a large manifest?

    python bench/jobs.py CLIP [--files 200] [--frames 10] [--rows 100000]

A job of many short files is compared with a job of one file that has all their frames. Processor time counts beside
the clock, as other programs hardly change it.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import scaled

from watchline.pipeline.manifest import DONE, Figures, Output, Planned, opened

TURNS = 1000  # rows that are claimed and finished


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _rows(Path(folder), args.rows)
    with tempfile.TemporaryDirectory() as folder:
        _files(Path(folder), args.clip, args.files, args.frames)


def _rows(folder: Path, rows: int) -> None:
    with opened(folder) as manifest:
        started = time.process_time()
        files = (Planned(f"{n % 1000}/{n}", {"path": f"{n}.mp4"}, 1 << 20, "1", "c", "m") for n in range(rows))
        manifest.plan(files, retry=False, once=False)
        print(f"{rows} rows planned: {(time.process_time() - started) / rows * 1e6:.0f} µs of the processor each")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clock, worst, started = time.perf_counter(), 0.0, time.process_time()
        for _ in range(TURNS):
            began = time.perf_counter()
            row = manifest.claim(lambda row: "")
            worst = max(worst, time.perf_counter() - began)
            assert row is not None
            manifest.finish(row, DONE, Figures("1", row.name, 10, 1.0), outputs=[Output(Path("a.mp4"), 1, "sha")])
        each = (time.perf_counter() - clock) / TURNS * 1e3, (time.process_time() - started) / TURNS * 1e3
        print(
            f"claim and finish: {each[0]:.2f} ms, {each[1]:.2f} ms of the processor; slowest claim {worst * 1e3:.1f} ms"
        )
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"memory: {before / 1024:.0f} MiB, {grown / 1024:.1f} more after {TURNS} turns")


def _files(folder: Path, clip: Path, files: int, frames: int) -> None:
    for name, count in (("many", files), ("one", 1)):
        made = scaled(clip, "360p", files * frames // count, folder)
        (folder / name).mkdir()
        for number in range(count):
            shutil.copy(made, folder / name / f"{number}.mp4")
    (many, many_cpu), (one, one_cpu) = _job(folder, "many"), _job(folder, "one")
    print(f"{files} files of {frames} frames: {many:.1f} s, {many_cpu:.1f} s of the processor")
    print(f"the same frames in one file: {one:.1f} s, {one_cpu:.1f} s of the processor")
    beyond = (many - one) / files * 1e3, (many_cpu - one_cpu) / files * 1e3
    print(f"a file costs {beyond[0]:.0f} ms beyond its frames, {beyond[1]:.0f} ms of the processor")


def _job(folder: Path, name: str) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["annotate", name, "--recursive", "--resume", "--out", f"{name}-out"]
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, "-m", "watchline", *words], cwd=folder, check=True, stdout=quiet, stderr=quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, spent


if __name__ == "__main__":
    main()
