"""Does a reader break on what nobody should have made? Seeded mutations of real files, each read under limits.

    python bench/fuzz.py [READER ...] [--count 10000 | --minutes 60] [--seed 0]

Every mutation is read in a process of its own kind, with a limit of 10 seconds and of a gigabyte more than before. What
cannot be read must raise a WatchlineError. Prints a line per failure: the mutation, so that `--only N` repeats it, and
the traceback's last line, the signal, or the time. Exits with 1 if there is any.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz_readers import READERS, Sample

SECONDS = 10.0  # of one reading
MEMORY = 1 << 30  # bytes that a process may need more
NUMBERS = [n.to_bytes(4, order) for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF) for order in ("big", "little")]
WORDS = [
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e400",
    b"nan",
    b'"',
    b"[",
    b"]" * 3000,
    b"[" * 3000,
    b"\x00",
    b"\xff\xfe",
    b"\x1b[31m",
]


def main() -> int:
    """Fuzz, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; all without any")
    parser.add_argument("--count", type=int, default=10_000, help="mutations per reader (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="per reader, in place of a count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this mutation alone")
    args = parser.parse_args()
    unknown = set(args.readers) - set(READERS)
    if unknown:
        parser.error(f"unknown reader {', '.join(unknown)}: expected some of {', '.join(READERS)}")
    failures = 0
    for name in args.readers or READERS:
        first, count = (0, args.count) if args.only is None else (args.only, 1)
        until = time.monotonic() + args.minutes * 60 if args.minutes else None
        done, started = 0, time.monotonic()
        for number, failure in fuzz(name, args.seed, first, None if until else first + count, until):
            done = number + 1 - first
            if failure:
                failures += 1
                print(f"{name} {number}: {failure}", flush=True)
        print(f"{name}: {done} mutations in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failures else 0


def fuzz(name: str, seed: int, first: int, end: int | None, until: float | None) -> Iterator[tuple[int, str | None]]:
    """Each mutation's number, and what was wrong with its reading."""
    context = multiprocessing.get_context("spawn")
    number = first
    while (end is None or number < end) and (until is None or time.monotonic() < until):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_read_all, args=(name, seed, number, end, theirs), daemon=True)
        child.start()
        theirs.close()
        try:
            while until is None or time.monotonic() < until:
                limit = SECONDS if number > first else 60.0  # the first one imports
                if not ours.poll(limit):
                    yield number, f"took more than {limit:.0f} s"
                    number += 1
                    break
                yield number, ours.recv()
                number += 1
        except EOFError:
            child.join()
            if child.exitcode:
                yield number, f"the process died (exit code {child.exitcode})"
                number += 1
        finally:
            child.kill()
            child.join()


def _read_all(name: str, seed: int, first: int, end: int | None, results: Connection) -> None:
    """In the child: mutation after mutation."""
    from watchline.errors import WatchlineError

    reader = READERS[name]
    samples = reader.samples()
    for sample in samples:  # imports everything, and shows that samples can be read
        with tempfile.TemporaryDirectory() as folder:
            _write(sample, Path(folder))
            reader.read(Path(folder))
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries say
    _limit_memory()
    number = first
    while end is None or number < end:
        failure = None
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _write(mutation(samples, seed, number), Path(folder))
            try:
                reader.read(Path(folder))
            except WatchlineError as error:
                if "\n" in str(error) and name != "config":
                    failure = f"an error of several lines: {error!r}"
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                failure = f"{type(error).__name__} at {where.filename}:{where.lineno}: {str(error)[:200]!r}"
        results.send(failure)
        number += 1


def mutation(samples: list[Sample], seed: int, number: int) -> Sample:
    """One of the samples, with one to four changes; always the same for a seed and a number."""
    rng = random.Random(f"{seed}:{number}")
    sample = dict(rng.choice(samples))
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(list(sample))
        sample[name] = _changed(bytearray(sample[name]), rng)
    return sample


def _changed(content: bytearray, rng: random.Random) -> bytes:
    size = len(content)
    at, until = sorted(rng.randrange(size + 1) for _ in range(2))
    near = min(at + rng.randrange(1, 17), size)
    match rng.randrange(8):
        case 0:
            for _ in range(rng.randint(1, 8)):
                if size:
                    content[rng.randrange(size)] ^= 1 << rng.randrange(8)
        case 1:
            del content[at:near]
        case 2:
            content[at:at] = content[at:near]
        case 3:
            content[at:near] = rng.randbytes(near - at)
        case 4:
            content[at : at + 4] = rng.choice(NUMBERS)
        case 5:
            content[at:near] = rng.choice(WORDS)
        case 6:
            del content[at:]
        case 7:
            content[at:until] = content[at:until][::-1] if rng.random() < 0.5 else b""
    return bytes(content)


def _write(sample: Sample, folder: Path) -> None:
    for name, content in sample.items():
        (folder / name).write_bytes(content)


def _limit_memory() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))


if __name__ == "__main__":
    sys.exit(main())
