"""The check of a run's files balances what is right, and finds what is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger_of import Unaccounted, in_order, ledger_of

from watchline.streams.write.jsonl import Tally, dropped_line, header_line, state_line


def header(stream: str = "gate", every: int = 1) -> bytes:
    return header_line({"source": "s", "stream": stream, "version": "0", "model": {}, "config": {"every": every}})


def frames(*indexes: int, stream: str = "gate", epoch: int = 0) -> bytes:
    lines: list[dict[str, Any]] = [{"stream": stream, "frame": index, "epoch": epoch} for index in indexes]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def lost(count: int, cause: str = "late", stream: str = "gate", epoch: int = 0) -> bytes:
    return dropped_line(stream, cause, count, epoch, 0)


def footer(count: int, **dropped: int) -> bytes:
    tally = Tally("gate")
    tally.frames = count
    tally.dropped.update(dropped)
    return tally.footer(whole=True)


LIVE = state_line("gate", "live", 0, 0)


def write(folder: Path, *files: bytes) -> list[Path]:
    paths = [folder / f"gate-20261123T0645{number:02}Z.jsonl" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([header() + LIVE + frames(0, 1, 2, 3)], id="nothing lost"),
        pytest.param([header() + lost(1) + frames(1) + lost(1) + lost(1, "newer") + LIVE], id="in its place"),
        pytest.param([header() + frames(0, 1), header() + lost(1) + frames(3)], id="two segments"),
        pytest.param([header() + frames(0) + lost(1), header() + frames(2, 3)], id="lost at the end of one"),
        pytest.param([header() + frames(0, 1) + lost(1, epoch=1) + frames(3, epoch=1)], id="another epoch"),
        pytest.param(
            [header() + frames(0) + lost(1) + footer(1, late=1), header() + frames(2, 3) + footer(2)], id="footers"
        ),
        pytest.param([header(every=2) + frames(0, 2, 4) + lost(1) + footer(5, late=1)], id="frames without a line"),
    ],
)
def test_what_is_right_balances(tmp_path: Path, files: list[bytes]) -> None:
    account = ledger_of(reversed(write(tmp_path, *files)))["gate"]
    assert account.decoded == 4


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            [header() + frames(0, 2)],
            r"00Z.jsonl:3: gate: frame 2: expected 3 frames up to here, got 2 lines and 0 drop",
        ),
        ([header() + frames(0, 0)], "frame 0 after frame 0"),
        ([header() + frames(0, 1) + footer(3)], "expected 2 frames, dropped {}"),
        ([header() + frames(0) + lost(1) + footer(1, newer=1)], "expected 1 frames, dropped {'late': 1}"),
        ([header() + frames(0, 2, 1)], "expected 3"),
        ([header() + frames(0) + lost(2) + frames(2)], "expected 3 frames up to here, got 2 lines and 2 dropped"),
        ([header() + frames(0, 2) + lost(1)], "expected 3"),
        ([header() + frames(0, 1), header() + frames(3)], r"01Z.jsonl:2: gate: frame 3: expected 4"),
        ([header() + frames(0, epoch=1) + frames(1, epoch=0)], "epoch 0 after epoch 1"),
        ([frames(0)], "gate has no header"),
        ([header() + frames(0)[:-1]], "the last line is incomplete"),
        ([header(every=2) + lost(2) + frames(0)], "expected 1 frames"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, files: list[bytes], says: str) -> None:
    with pytest.raises(Unaccounted, match=says):
        ledger_of(write(tmp_path, *files))


def test_streams_that_share_a_file_are_counted_apart(tmp_path: Path) -> None:
    [path] = write(
        tmp_path,
        header() + LIVE + header("door") + frames(0) + lost(2, stream="door") + frames(1) + frames(2, stream="door"),
    )
    accounts = ledger_of([path])
    assert {name: (a.frames, dict(a.dropped)) for name, a in accounts.items()} == {
        "gate": (2, {}),
        "door": (1, {"late": 2}),
    }
    assert accounts["gate"].states == ["live"]


def test_frames_that_nobody_looked_at_have_no_line(tmp_path: Path) -> None:
    [path] = write(tmp_path, header(every=3) + frames(0, 3) + lost(1) + frames(9))
    assert ledger_of([path])["gate"].frames == 3


def test_segments_are_read_in_the_order_of_time() -> None:
    names = ["b", "a-20261123T064500Z", "a-20261123T064500Z-2", "a-20261123T064500Z-10", "a-20261123T064501Z"]
    paths = [Path(f"{name}.jsonl") for name in names]
    assert in_order(reversed(paths)) == [*paths[1:], paths[0]]


def test_it_is_a_program(tmp_path: Path) -> None:
    good, bad = write(tmp_path, header() + frames(0) + lost(2), header() + frames(1))
    command = [sys.executable, str(Path(__file__).with_name("ledger_of.py"))]
    done = subprocess.run([*command, good], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "gate: 3 frames, 1 written, dropped: late 2\n")
    done = subprocess.run([*command, bad], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected 2 frames" in done.stderr
