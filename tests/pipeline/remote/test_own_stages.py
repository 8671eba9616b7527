"""Stages of your own elsewhere: what they know, say and give is the same as in a thread, byte for byte."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from own_stages import SEEN, TALLY, Blurs, Careless, Looks, Tallies
from pipelines import Numbers, Script, numbered
from placing import PROCESS, items_of, live_run, serving, somewhere

from watchline.pipeline.errors import StageError
from watchline.pipeline.events import EventLines
from watchline.pipeline.message import End, Event, Failure, Item, State
from watchline.pipeline.remote.channel import Listener
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.remote.protocol import (
    Course,
    Done,
    EventEntry,
    Heard,
    Hello,
    KindEntry,
    PixelsEntry,
    ResultEntry,
    Signal,
    Welcome,
    WorkRequest,
    decode,
    encode,
)
from watchline.pipeline.remote.server import Server
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource
from watchline.streams.source import About

KINDS = ("thread", "process", "tcp")
ABOUT = About("a.mp4", 4, 4, Fraction(1, 25), Fraction(25))


def said(messages):
    """All that messages say, to the byte, by stream; but for what differs from process to process."""
    streams = {}
    for message in messages:
        parts = [type(message).__name__, *(line for each, lines in EventLines().of(message) for line in lines)]
        if isinstance(message, Item):
            tally = replace(message.result(TALLY), pid=0, known=0)
            words, arrays = TALLY.packed(tally)
            parts += [repr(words), *((array.dtype.str, array.shape, array.tobytes()) for array in arrays)]
            parts += [message.frame.index, message.frame.pts, message.frame.image.tobytes()]
        if isinstance(message, Failure):
            parts += [message.where, message.why]
        streams.setdefault(message.stream, []).append(parts)
    return streams


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_state_results_and_events_are_the_same_in_every_place(batch, together):
    sources = [Numbers("a", 25), Numbers("ä\ud800", 12), Numbers("c", 0), Numbers("d", 7, breaks_after=4)]
    outcomes = {}
    for kind in KINDS:
        with somewhere(kind, Tallies(every=5, batch=batch)) as stage:
            messages = list(Runner([stage]).run(sources, together))
        outcomes[kind] = said(messages)
        tallies = {
            name: [m.result(TALLY) for m in messages if isinstance(m, Item) and m.stream == name] for name in "ad"
        }
        assert [tally.seen for tally in tallies["a"]] == [*range(1, 26)]
        assert tallies["a"][-1].sums.tolist() == [16 * sum(range(25))] * 3
        assert tallies["a"][-1].who == ("a", None, "a 4 x 4 25")
        [end] = [m for m in messages if m.stream == "a" and isinstance(m, End)]
        assert end.events == (Event("over", {"frames": 25, "sums": [4800] * 3, "who": ["a", None, "a 4 x 4 25"]}),)
        [failure] = [m for m in messages if isinstance(m, Failure)]
        assert [event.data["frames"] for event in failure.events] == [4]
        assert (tallies["a"][0].pid == os.getpid()) is (kind != "process")
    assert outcomes["process"] == outcomes["tcp"] == outcomes["thread"]
    lines = [line for part in outcomes["tcp"]["a"] for line in part if isinstance(line, bytes)]
    assert [json.loads(line)["frames"] for line in lines if b'"reached"' in line] == [5, 10, 15, 20, 25]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_elsewhere_hears_of_each_epoch(kind):
    script = Script("gate", [[1, 0.02] * 6 + [OSError("cut")], [1, 0.02] * 50])
    with somewhere(kind, Tallies(every=4)) as stage:
        messages = live_run([stage], script, lambda seen: len(items_of(seen, 1)) >= 5)
    for epoch in (0, 1):
        tallies = [item.result(TALLY) for item in items_of(messages, epoch)]
        assert [tally.seen for tally in tallies] == [*range(1, len(tallies) + 1)]
        assert {tally.who for tally in tallies} == {("gate", epoch, "gate 4 x 4 25")}
        over = [e for m in messages if isinstance(m, State) and m.epoch == epoch for e in m.events]
        assert [(event.name, event.data["who"][1]) for event in over] == [("over", epoch)]
        assert over[0].data["frames"] >= len(tallies) > 0
    assert [event.name for item in items_of(messages) for event in item.events] == []
    assert {m.state for m in messages if isinstance(m, State) and m.events} == {"retrying", "ended"}


@pytest.mark.parametrize("kind", ["process", "tcp"])
def test_a_thousand_streams_leave_nothing_behind(kind):
    def memory():
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with somewhere(kind, Tallies()) as stage, stage.open() as work:
        for n in range(1000):
            name = f"stream {n}"
            work.begin(name, ABOUT, n % 3 or None)
            [tally] = [item.result(TALLY) for item in work(numbered(1, name))]
            assert (tally.known, tally.seen) == (1, 1)
            assert [event.data["frames"] for event in work.end(name)] == [1]
            pid = tally.pid
            if n == 300:
                before = memory()
        assert work._lives == {}
        assert memory() - before < 2 << 20


def test_many_streams_of_a_run_leave_nothing_behind():
    runner = Runner([placed(Tallies(), PROCESS)])
    sources = [Numbers(f"s{n}", 4) for n in range(300)]
    known, ends = 0, 0
    for message in runner.run(sources, together=True):
        known = max(known, message.result(TALLY).known) if isinstance(message, Item) else known
        ends += isinstance(message, End) and message.events[0].data["frames"] == 4
    assert ends == 300
    assert 1 <= known <= 12  # four files are read at once, and some more are on their way to their end


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stage_elsewhere_says_at_an_end_is_declared(kind, caplog):
    with somewhere(kind, Tallies(says="gone")) as stage:
        messages = list(Runner([stage]).run([Numbers("a", 2), Numbers("b", 1)]))
    assert [m.events for m in messages if isinstance(m, End)] == [(), ()]
    why = "it said the event 'gone': it may say the event 'reached', the event 'over'; see Stage.emits"
    for name in "ab":
        assert f"{name}: the tallies failed at its end: {why}" in caplog.text


# Other pixels.


@pytest.fixture(scope="module")
def street(bikes):
    """Frames of the real clip, as decoded."""
    with FileSource(bikes).open() as reader:
        return [Item(frame) for frame, _ in zip(reader, range(3), strict=False)]


@pytest.mark.parametrize(("first", "second"), [("process", "thread"), ("process", "process"), ("tcp", "tcp")])
def test_a_picture_that_was_changed_elsewhere_is_seen_by_the_stages_after_it(street, first, second):
    with Blurs().open() as blur, Looks().open() as look:
        here = look(blur(street))
    with (
        somewhere(first, Blurs()) as blurs,
        somewhere(second, Looks(), [Blurs()]) as looks,
        blurs.open() as blur,
        looks.open() as look,
    ):
        there = look(blur(street))
    for item, a, b in zip(street, here, there, strict=True):
        assert (a.frame.image != item.frame.image).any()
        assert a.frame.image.tobytes() == b.frame.image.tobytes()
        assert not b.frame.image.flags.writeable
        assert replace(b.frame, picture=item.frame.picture) == item.frame
        assert b.frame.arrival == item.frame.arrival
        assert a.events == b.events == (Event("blurred"), Event("looked", {"before": ["blurred"]}))
        (value, [column]), (other, [another]) = SEEN.packed(a.result(SEEN)), SEEN.packed(b.result(SEEN))
        assert value == other
        assert column.tobytes() == another.tobytes()


def test_a_picture_that_was_changed_elsewhere_may_come_back_as_jpeg(street):
    with Blurs().open() as blur, serving(Blurs()) as place:
        here = blur(street)
        with placed(Blurs(), replace(place, quality=95)).open() as blur_there:
            there = blur_there(street)
    for a, b in zip(here, there, strict=True):
        assert 0 < abs(a.frame.image.astype(int) - b.frame.image).mean() < 3


def test_a_whole_run_sees_the_changed_pictures(tmp_path):
    clip = FileSource(write_clip(tmp_path / "a.mp4", 12))

    def run(kind, *before):
        with somewhere(kind, Looks(), [Blurs()]) as looks:
            messages = Runner([*before, looks]).run([clip])
            return [(m.result(SEEN).checksum, m.frame.image.tobytes()) for m in messages if isinstance(m, Item)]

    here = run("thread", Blurs(size=9))
    assert len(here) == 12
    assert not set(here) & set(run("thread"))
    for kind in ("process", "tcp"):
        with somewhere(kind, Blurs(size=9)) as blurs:
            assert run(kind, blurs) == here


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_changes_pictures_has_to_say_so(kind):
    why = "it changed the frame's picture: it may change the event 'blurred'; see Stage.gives"
    with somewhere(kind, Careless()) as stage:
        messages = list(Runner([stage]).run([Numbers("a", 3)]))
    assert messages[-1] == Failure("a", "careless", f"frame 0: {why}")


# What a stage elsewhere says of itself, and what it is told of the chain.


@pytest.mark.parametrize("kind", ["process", "tcp"])
def test_a_stage_says_of_itself_what_it_is_where_it_runs(kind):
    with somewhere(kind, Tallies()) as stage:
        runner = Runner([stage])
        [tally, *_] = [m.result(TALLY) for m in runner.run([Numbers("a", 2)]) if isinstance(m, Item)]
    assert runner.about == {"tallies": {"counts": "frames", "pid": tally.pid}}


def test_a_placed_detector_says_which_engine_runs_there_not_here():
    with Server("detector", "tcp://127.0.0.1:0", overrides={"runtime": "openvino", "workers": 1}) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            place = replace(PROCESS, kind="tcp", address=server.address)
            runner = Runner([placed(Detector(runtime="onnxruntime", workers=1), place)])
            assert any(isinstance(m, Item) and m.detections is not None for m in runner.run([Numbers("a", 2)]))
        finally:
            server.stop()
            thread.join()
    model = runner.about["detector"]["model"]
    assert "openvino" in model["runtime"].lower()
    assert "person" in model["labels"]


def test_a_client_loads_no_engine_for_a_stage_elsewhere():
    code = """
import sys
from pipelines import Numbers
from watchline.pipeline.message import Item
from watchline.pipeline.remote.placed import place_of, placed
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
runner = Runner([placed(Detector(workers=1), place_of("process"))])
assert sum(isinstance(m, Item) for m in runner.run([Numbers("a", 3)])) == 3
print(runner.about["detector"]["model"]["runtime"])
print(sorted({"onnxruntime", "openvino", "tensorrt", "torch"} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    runtime, modules = done.stdout.splitlines()
    assert "onnxruntime" in runtime.lower().replace(" ", "")
    assert modules == "[]"


def test_a_server_that_does_not_know_a_stage_of_the_chain_says_how_to_start_it():
    with serving(Looks()) as place:
        stage = placed(Looks(), place, [Tallies()])
        why = (
            "refused: the stage own_stages:Tallies of the chain is not known here: start it with --stage own_stages:Tal"
        )
        with pytest.raises(StageError, match=why), stage.open():
            pass
    with serving(Looks(), others=[Tallies()]) as place, placed(Looks(), place, [Tallies()]).open() as look:
        tally = TALLY.type(("a", None, "\ud800"), 1, np.arange(3), np.zeros((2, 2), np.float32), 1, 1)
        [item] = look([numbered(1)[0].with_result(TALLY, tally)])
        assert item.result(TALLY) is tally
        assert item.result(SEEN) is not None


@contextmanager
def insolent(result, parts):
    """A server that gives this result for each item, whatever the stage declares. Yields its place."""
    port, stop = Listener(), threading.Event()

    def answer(message):
        match message:
            case Hello():
                return encode(Welcome(1, {})), ()
            case Course():
                return encode(Heard(message.id)), ()
            case WorkRequest():
                return encode(Done(message.id, (result,) * len(message.items))), parts * len(message.items)
        return encode(Signal("pong")), ()

    def serve():
        while not stop.is_set():
            for arrival in port.receive(0.02)[0]:
                port.send(*answer(decode(arrival.header)), arrival.peer)

    thread = threading.Thread(target=serve)
    address = port.listen("tcp://127.0.0.1:0")
    thread.start()
    try:
        yield Place("tcp", address)
    finally:
        stop.set()
        thread.join()
        port.close()


SENSELESS = "looks at tcp://127.0.0.1:{} sent an answer that makes no sense"
MAY = "it may change the result 'seen', the event 'looked'; see Stage.gives"


@pytest.mark.parametrize(
    ("result", "parts", "why"),
    [
        (ResultEntry(picture=PixelsEntry(4, 4, "bgr")), [48], f"it changed the frame's picture: {MAY}"),
        (ResultEntry(events=(EventEntry("full", {}),)), [], f"it changed the event 'full': {MAY}"),
        (ResultEntry(events=(EventEntry("looked", 3),)), [], f"{SENSELESS}: an event without data by name"),
        (
            ResultEntry((KindEntry("tally", {}, ()),)),
            [],
            f"{SENSELESS}: the result 'tally': expected one of seen, once",
        ),
        (ResultEntry((KindEntry("seen", {}, ()),)), [], f"{SENSELESS}: not a result 'seen': expected the words and ar"),
        (ResultEntry(), [1], f"{SENSELESS}: there are parts that no entry names"),
    ],
)
def test_a_server_that_gives_what_the_stage_does_not_declare_is_not_believed(result, parts, why):
    with insolent(result, [np.zeros(size, np.uint8) for size in parts]) as place:
        messages = list(Runner([placed(Looks(), place)]).run([Numbers("a", 2)]))
    assert messages[-1].why.startswith(f"frame 0: {why.format(place.address.rsplit(':', 1)[1])}")
