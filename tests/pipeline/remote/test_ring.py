import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from leftovers import everything, shared_memory

from watchline.pipeline.remote.ring import LARGEST, Inherited, Ring, Slot


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@pytest.fixture
def ring():
    ring = Ring(2)
    yield ring
    ring.close()


def test_what_one_side_writes_the_other_reads_in_place(ring):
    slot = ring.take(0)
    other = Inherited.of(ring.descriptors).slot(slot.number)
    parts = [noise((48, 64)), noise((24, 64))[:, :32], noise(7)]
    read = other.read(slot.write(parts))
    for part, got in zip(parts, read, strict=True):
        assert (got.reshape(part.shape) == part).all()
        assert got.ctypes.data % 64 == 0
    parts[2][:] = 9
    slot.write(parts)
    assert (read[2] == 9).all()  # no copy


def test_an_answer_lies_behind_the_request(ring):
    slot = ring.take(0)
    other = Inherited.of(ring.descriptors).slot(slot.number)
    [asked] = other.read(slot.write([noise(1000)]))
    answer = other.write([noise(300_000, 1)], start=1000)  # more than there is: the slot grows
    assert (slot.read(answer)[0] == noise(300_000, 1)).all()
    assert (asked == noise(1000)).all()


def test_views_of_before_stay_good_when_a_slot_grows(ring):
    slot = ring.take(0)
    [before] = slot.read(slot.write([noise(1000)]))
    slot.write([noise(5 << 20, 1)], start=1000)
    assert (before == noise(1000)).all()


def test_steady_sizes_do_not_map_anew(ring):
    slot = ring.take(0)
    slot.write([noise(3 << 20)])
    size = os.fstat(ring.descriptors[slot.number]).st_size
    mapped = shared_memory()
    for _ in range(20):
        slot.write([noise(3 << 20)])
    assert os.fstat(ring.descriptors[slot.number]).st_size == size
    assert shared_memory() == mapped


@pytest.mark.parametrize(
    "spans", [[(0, 1 << 40)], [(-64, 64)], [(0, -1)], [(1 << 62, 1 << 62)], [(0, 10), (65_530, 10)]]
)
def test_spans_outside_the_memory_are_refused(ring, spans):
    slot = ring.take(0)
    slot.write([noise(100)])
    with pytest.raises(ValueError, match="a span"):
        slot.read(spans)
    assert os.fstat(ring.descriptors[slot.number]).st_size == 65_536


def test_a_slot_has_a_largest_size(ring):
    with pytest.raises(ValueError, match="a slot holds 512 at most"):
        ring.take(0).write([np.empty(0, np.uint8)], start=LARGEST + 1)


def test_who_finds_no_slot_waits_for_one(ring):
    first, second = ring.take(0), ring.take(0)
    assert {first.number, second.number} == {0, 1}
    assert ring.take(0.01) is None
    threading.Timer(0.1, ring.give, [first]).start()
    started = time.monotonic()
    assert ring.take(5) is first
    assert 0.05 < time.monotonic() - started < 2


def test_memory_cannot_be_taken_away_under_the_other_side(ring):
    for slot in (ring.take(0), ring.take(0)):
        slot.write([noise(100_000)])
    for descriptor in ring.descriptors:
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)


def test_a_child_has_the_same_memory(ring):
    slot = ring.take(0)
    spans = slot.write([noise(100_000)])
    code = """
import sys
from watchline.pipeline.remote.ring import Inherited
slot = Inherited.of([int(n) for n in sys.argv[1].split(",")]).slot(int(sys.argv[2]))
[part] = slot.read([(0, 100_000)])
print(slot.write([part[::-1]], start=100_000)[0])
"""
    numbers = ",".join(map(str, ring.descriptors))
    done = subprocess.run(
        [sys.executable, "-c", code, numbers, str(slot.number)],
        pass_fds=ring.descriptors,
        capture_output=True,
        check=True,
    )
    assert spans == ((0, 100_000),)
    assert (slot.read([eval(done.stdout)])[0] == noise(100_000)[::-1]).all()


def test_only_a_clients_memory_is_taken(tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        for descriptor in (file.fileno(), 0):
            with pytest.raises(ValueError, match="not shared memory of a client"):
                Slot(0, descriptor)
    loose = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    with pytest.raises(ValueError, match="not shared memory of a client"):
        Slot(0, loose)
    fcntl.fcntl(loose, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    Slot(0, loose)
    os.close(loose)
    with pytest.raises(ValueError, match="slot 3 of 0"):
        Inherited.of([]).slot(3)


def test_nothing_is_left():
    before = everything()
    ring = Ring(3)
    slot = ring.take(0)
    [view] = slot.read(slot.write([noise(1 << 20)]))
    assert not [*Path("/dev/shm").glob("*watchline*")]
    ring.close()
    assert (view == noise(1 << 20)).all()  # what is still viewed stays until it is not
    ring.give(slot)
    del view, slot
    assert everything() == before  # though somebody still has the ring
