"""No mutation of a file breaks what reads it; `python bench/fuzz.py` throws as many as one likes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "bench" / "fuzz.py"
COUNTS = {  # some seconds each
    "video": 100,
    "photo": 500,
    "onnx": 500,
    "foreign-onnx": 500,
    "darknet": 1000,
    "labels": 1000,
    "config": 300,
    "recording": 500,
    "wire": 1000,
    "events": 200,
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", COUNTS)
def test_mutations_are_read_or_refused_in_a_line(reader: str) -> None:
    command = [sys.executable, str(FUZZ), reader, "--count", str(COUNTS[reader]), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.stdout == f"{reader}: {COUNTS[reader]} mutations in {re.findall('[0-9]+ s', done.stdout)[-1]}\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_it_covers_every_reader() -> None:
    done = subprocess.run([sys.executable, str(FUZZ), "--help"], capture_output=True, text=True)
    assert re.search("READER +of (.*);", " ".join(done.stdout.split()))[1].split(", ") == list(COUNTS)


def test_a_reader_that_breaks_is_told(tmp_path: Path) -> None:
    """A crash, a hang, hunger and a foreign error, each with the number that repeats it."""
    (tmp_path / "fuzz_readers.py").write_text(BROKEN)
    (tmp_path / "fuzz.py").write_text(FUZZ.read_text().replace("SECONDS = 10.0", "SECONDS = 1.0"))
    done = subprocess.run(
        [sys.executable, tmp_path / "fuzz.py", "--count", "6"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert re.fullmatch("broken 1: KeyError at .*fuzz_readers.py:[0-9]+: .*", lines[0])
    assert lines[1] == "broken 2: the process died (exit code -11)"
    assert lines[2] == "broken 3: took more than 1 s"
    assert lines[3].startswith("broken 4: MemoryError")
    assert re.fullmatch("broken: 6 mutations in [0-9]+ s", lines[4])


BROKEN = """
import os, signal, time
from pathlib import Path

Sample = dict
calls = []

def read(folder):
    seen = Path(__file__).with_name("seen")
    number = int(seen.read_text()) if seen.exists() else -1
    content = (folder / "a").read_bytes()
    if content == b"as it is":
        return
    seen.write_text(str(number + 1))
    match number + 1:
        case 1: {}["gone"]
        case 2: os.kill(os.getpid(), signal.SIGSEGV)
        case 3: time.sleep(60)
        case 4: bytearray(2 << 30)

class Reader:
    samples = staticmethod(lambda: [{"a": b"as it is"}])
    read = staticmethod(read)

READERS = {"broken": Reader}
"""
