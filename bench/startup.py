"""How long does the start take? From the command to the first frame in the events, and to the help.

python bench/startup.py CLIP [--rounds 5]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from watchline.files import PART

COMMAND = [sys.executable, "-m", "watchline"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"watchline --help                    {median(_help() for _ in range(args.rounds)):.2f} s")
    print(f"watchline annotate to first frame   {median(_first(args.clip) for _ in range(args.rounds)):.2f} s")


def _help() -> float:
    started = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _first(clip: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        events = Path(out) / f"{clip.stem}.jsonl{PART}"
        started = time.perf_counter()
        command = [*COMMAND, "annotate", str(clip), "--out", out]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not (events.is_file() and events.read_bytes().count(b"\n") > 1):
                if process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} ended with {process.returncode}, without a frame")
                time.sleep(0.005)
            seconds = time.perf_counter() - started
            process.terminate()
        return seconds


if __name__ == "__main__":
    main()
