"""What is kept while a camera's recording cannot be written: little, and enough that no frame is unaccounted for."""

from collections import Counter

import numpy as np
import pytest
from ledger_of import ledger_of

from watchline import ArrayPicture, Dropped, End, Files, Frame, Item, Jsonl, Opening, Unwritten
from watchline.pipeline.sinks import recording, unsaid
from watchline.streams.errors import SinkError
from watchline.streams.source import LIVE_TIME_BASE
from watchline.streams.write.jsonl import dropped_line, frame_line

LONG = unsaid.MOST + 5000  # frames; ten minutes of a camera
HEADER = {"source": "gate", "stream": "gate", "version": "0", "model": {}, "config": {"every": 1}}


def item(index):
    picture = ArrayPicture(np.zeros((4, 4, 3), np.uint8))
    return Item(Frame("gate", index, index * 3600, LIVE_TIME_BASE, picture, epoch=0, time=1_800_000_000 + index / 25))


def test_what_a_full_disk_has_cost_is_told_though_it_is_full_to_the_end(small_disk, monkeypatch):
    monkeypatch.setattr(recording, "AGAIN", 0)
    disk = small_disk("256k")
    with Files(disk / "out", None).open(Opening("gate", True, HEADER)) as writer:
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(bytes(2**20))
        counts = Counter()
        for index in range(1000):
            try:
                writer.take(item(index), [frame_line(item(index).frame, {"detections": [{"label": "x" * 500}]})])
                counts["written"] += 1
            except Unwritten:
                counts["unwritten"] += 1
                writer.take(Dropped("gate", "unwritten", 1, 0), [])
        writer.take(End("gate"), [])
    [account] = ledger_of((disk / "out").glob("*.jsonl")).values()
    assert account.whole
    assert (account.frames, account.dropped) == (counts["written"], {"unwritten": counts["unwritten"]})
    assert min(counts.values()) > 50


def test_a_long_row_of_frames_that_had_no_room_is_told_whole(small_disk, monkeypatch):
    monkeypatch.setattr(recording, "AGAIN", 1e9)
    disk = small_disk("256k")
    with Files(disk / "out", None).open(Opening("gate", True, HEADER)) as writer:
        (disk / "filler").write_bytes(bytes(2**16))
        with pytest.raises(OSError, match="No space"):
            (disk / "more").write_bytes(bytes(2**20))
        told = written = 0
        for index in range(LONG):
            frame = item(index)
            try:
                writer.take(frame, [frame_line(frame.frame, {"detections": []})])
                written += 1
            except Unwritten:
                lost = Dropped("gate", "unwritten", 1, 0)
                writer.take(lost, [dropped_line("gate", "unwritten", 1, 0, lost.time)])
                told += 1
            if index == LONG - 10:
                (disk / "filler").unlink()
                (disk / "more").unlink()
                writer._again = 0.0
    [account] = ledger_of((disk / "out").glob("*.jsonl")).values()
    assert (account.frames, account.dropped) == (written, {"unwritten": told})
    assert told > unsaid.MOST
    assert written >= 9
    assert account.decoded == LONG


def fill(disk):
    with pytest.raises(OSError, match="No space"):
        (disk / "filler").write_bytes(bytes(2**20))


def test_the_events_of_a_camera_wait_while_their_disk_is_full(small_disk, caplog):
    disk = small_disk("64k")
    with Jsonl(disk / "all.jsonl").open(Opening("gate", True, HEADER)) as writer:
        fill(disk)
        for index in range(100):
            writer.take(item(index), [frame_line(item(index).frame, {"detections": []})])
        for _ in range(50):
            writer.take(Dropped("gate", "late", 1, 0), [])
        assert (disk / "all.jsonl").read_text().count('"frame"') < 100
        (disk / "filler").unlink()
        writer.take(End("gate"), [])
    [account] = ledger_of([disk / "all.jsonl"]).values()
    assert (account.frames, account.dropped, account.whole) == (100, {"late": 50}, True)
    assert len(caplog.records) == 1
    assert "disk full" in caplog.text


@pytest.mark.parametrize(("is_live", "goes_on"), [(False, 0), (True, 5)])
def test_events_do_not_wait_for_ever_and_those_of_a_file_not_at_all(is_live, goes_on, small_disk, monkeypatch):
    monkeypatch.setattr(unsaid, "MOST", 6)
    disk = small_disk("64k")
    with Jsonl(disk / "a.jsonl").open(Opening("a", is_live, HEADER)) as writer:
        fill(disk)
        for _ in range(goes_on):
            writer.take(item(0), [b"x" * 5000 + b"\n"])
        with pytest.raises(SinkError, match="disk full"):
            writer.take(item(0), [b"x" * 5000 + b"\n"])
        (disk / "filler").unlink()
