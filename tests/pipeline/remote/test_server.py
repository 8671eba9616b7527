import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from leftovers import everything
from mutations import mutations
from own_stages import TALLY, Tallies, Tally
from pipelines import numbered

from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.remote import guard
from watchline.pipeline.remote import server as serve
from watchline.pipeline.remote.allowed import Allowed
from watchline.pipeline.remote.channel import Dialer, Keys, new_keys
from watchline.pipeline.remote.codec import merge, pack
from watchline.pipeline.remote.guard import MOST
from watchline.pipeline.remote.protocol import (
    AboutEntry,
    Course,
    Done,
    Failed,
    Heard,
    Hello,
    PartsInSlot,
    Refused,
    Signal,
    Welcome,
    WorkRequest,
    decode,
    encode,
)
from watchline.pipeline.remote.server import Server
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.registry import build, kind_of, name_of, settings_of

CLUMSY, ECHO, ODD = "odd_stages:Clumsy", "odd_stages:Echo", "odd_stages:Odd"
TALLIES = "own_stages:Tallies"


@contextmanager
def serving(name, **options):
    """A server in a thread of this process."""
    with Server(name, "tcp://127.0.0.1:0", **options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


class Client:
    """A client that says what the test wants it to say."""

    def __init__(self, server, name="a"):
        self.port = Dialer()
        self.port.connect(server.address)
        self.name = name
        self.came = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.port.close()

    def say(self, message, parts=()):
        self.port.send(encode(message), parts)

    def hello(self, stage, *chain, **settings):
        self.say(Hello(self.name, stage, settings, chain))
        return self.hear()

    def hear(self, seconds=5.0):
        """The next message and its parts; None if none comes."""
        end = time.monotonic() + seconds
        while not self.came and time.monotonic() < end:
            self.came += self.port.receive(0.02)[0]
        if not self.came:
            return None, ()
        arrival = self.came.pop(0)
        return decode(arrival.header), arrival.parts

    def work(self, number, items):
        entries, parts = pack(items, None)
        self.say(WorkRequest(number, entries), parts)


def test_a_client_says_hello_and_its_requests_are_answered_by_id():
    with serving(CLUMSY) as server, Client(server) as client:
        assert client.hello(CLUMSY, workers=3) == (Welcome(3, {}), ())
        items = numbered(20)
        for item in items:
            client.work(item.frame.index, [item])
        for _ in items:
            done, parts = client.hear()
            assert isinstance(done, Done)
            [item] = merge([items[done.id]], done.results, parts, {"detections": DETECTIONS})
            assert item.detections.xyxy[0, 0] == done.id
        client.say(Signal("ping"))
        assert client.hear() == (Signal("pong"), ())


def test_a_busy_worker_keeps_no_ping_waiting():
    with serving(CLUMSY) as server, Client(server) as client:
        client.hello(CLUMSY, slow=0.5)
        client.work(1, numbered(1))
        started = time.monotonic()
        client.say(Signal("ping"))
        assert client.hear()[0] == Signal("pong")
        assert time.monotonic() - started < 0.3
        assert isinstance(client.hear()[0], Done)


def test_what_fails_is_told_in_one_line_and_the_next_is_done():
    with serving(CLUMSY) as server, Client(server) as client:
        client.hello(CLUMSY, fails_at=[2])
        for item in numbered(4):
            client.work(item.frame.index, [item])
        answers = [client.hear()[0] for _ in range(4)]
    assert [type(a) for a in answers] == [Done, Done, Failed, Done]
    assert answers[2] == Failed(2, "cannot do 2")


@pytest.mark.parametrize(
    ("stage", "settings", "why"),
    [
        (ECHO, {}, "the stage here is odd_stages:Clumsy, not odd_stages:Echo"),
        (CLUMSY, {"wrkers": 2}, "unknown setting 'wrkers': did you mean 'workers'?"),
        (
            CLUMSY,
            {"workers": "many", "slow": None},
            "workers must be a whole number (default 1); slow must be a number",
        ),
        (CLUMSY, {"workers": 0}, "workers must be at least 1"),
        (CLUMSY, {"workers": 65_536}, "workers must be at most 64"),
        (CLUMSY, {"broken": "no\n model"}, "no model"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(stage, settings, why):
    with serving(CLUMSY) as server, Client(server) as client:
        answer, _ = client.hello(stage, **settings)
        assert isinstance(answer, Refused)
        assert why in answer.why
        assert "\n" not in answer.why
        client.name = "b"
        assert client.hello(CLUMSY)[0] == Welcome(1, {})  # the next one is served


def test_a_chain_with_a_stage_that_is_not_known_here_is_refused():
    with serving(CLUMSY) as server, Client(server) as client:
        [answer, _] = client.hello(CLUMSY, "detector", CLUMSY, TALLIES)
        assert answer == Refused(f"the stage {TALLIES} of the chain is not known here: start it with --stage {TALLIES}")
        [answer, _] = client.hello(CLUMSY, "counter")
        why = "the stage counter of the chain is not known here: install the same version of Watchline on both hosts"
        assert answer == Refused(why)
        assert client.hello(CLUMSY, "detector")[0] == Welcome(1, {})
    with serving(CLUMSY, others=[TALLIES]) as server, Client(server) as client:
        assert client.hello(CLUMSY, TALLIES)[0] == Welcome(1, {})


def test_only_results_of_the_chain_may_come():
    [item] = numbered(1)
    tally = Tally(("a", None, ""), 1, np.zeros(3, int), np.zeros((1, 2), np.float32), 1, 1)
    with serving(CLUMSY, others=[TALLIES]) as server, Client(server) as client:
        client.hello(CLUMSY)
        client.work(1, [item.with_result(TALLY, tally)])
        assert client.hear()[0] == Failed(1, "the result 'tally': expected one of none, once")
        client.say(Signal("bye"))
        time.sleep(0.1)
        client.hello(CLUMSY, TALLIES)
        client.work(1, [item.with_result(TALLY, tally)])
        assert isinstance(client.hear()[0], Done)
        assert server.malformed == 1


def test_a_refusal_is_short_however_long_the_hello_is():
    with serving(CLUMSY) as server, Client(server) as client:
        for long in ("ä" * 5_000, "x" * 60_000):
            for stage, chain, settings in ((long, (), {}), (CLUMSY, (long,), {}), (CLUMSY, (), {long: 1})):
                answer, _ = client.hello(stage, *chain, **settings)
                assert isinstance(answer, Refused)
                assert len(answer.why) <= 2000
        assert client.hello(CLUMSY)[0] == Welcome(1, {})


def test_what_a_stage_says_of_itself_is_json():
    with serving(ODD) as server, Client(server) as client:
        answer, _ = client.hello(ODD)
        assert isinstance(answer, Refused)
        assert answer.why == "what the odd says of itself is not JSON: Object of type set is not JSON serializable"


def test_a_stage_that_wants_to_end_its_process_cannot_be_opened():
    with serving(ODD) as server, Client(server) as client:
        assert client.hello(ODD, how="exit")[0] == Refused("no licence")


def test_the_models_own_error_reaches_the_client(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"?")
    allowed = Allowed.of((), (tmp_path,))
    with serving("detector", allowed=allowed) as server, Client(server) as client:
        answer, _ = client.hello("detector", **settings_of(Detector(model="broken.onnx", workers=1)))
    assert answer.why.startswith(f"{tmp_path / 'broken.onnx'}")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"workers": 65}, "workers must be at most 64"),
        ({"threads": 1 << 40}, "threads must be at most 64"),
        ({"batch": 257}, "batch must be at most 256"),
        ({"imgsz": [8193, 8]}, "imgsz"),
    ],
)
def test_a_client_cannot_ask_for_more_than_a_machine_has(asked, why):
    with serving("detector") as server, Client(server) as client:
        assert client.hello("detector", **asked)[0].why.startswith(why)


def test_clients_with_equal_settings_share_the_workers():
    with serving(CLUMSY) as server, Client(server, "a") as a, Client(server, "b") as b:
        assert a.hello(CLUMSY, slow=0.01)[0] == b.hello(CLUMSY, slow=0.01)[0] == Welcome(1, {})
        for client in (a, b):
            client.work(7, numbered(1))
        assert [client.hear()[0].id for client in (a, b)] == [7, 7]


def test_a_client_with_other_settings_waits_its_turn():
    with serving(CLUMSY) as server, Client(server, "a") as a, Client(server, "b") as b:
        a.hello(CLUMSY)
        assert "busy" in b.hello(CLUMSY, slow=0.01)[0].why
        a.say(Signal("bye"))
        time.sleep(0.1)
        assert b.hello(CLUMSY, slow=0.01)[0] == Welcome(1, {})


def test_a_stage_that_needs_its_frames_in_order_serves_one_client_and_knows_it_again():
    with serving(ECHO) as server, Client(server, "a") as a, Client(server, "a") as again, Client(server, "b") as b:
        assert a.hello(ECHO)[0] == Welcome(1, {})
        assert "busy" in b.hello(ECHO)[0].why
        assert again.hello(ECHO)[0] == Welcome(1, {})  # its connection broke, and here is the next
        a.work(1, numbered(1))
        assert a.hear()[0] == Signal("unknown")


def test_a_hello_that_is_said_twice_does_not_begin_anew():
    """A client says it again when it hears that nobody knows it; both may have come through. Its streams go on."""
    about = AboutEntry("a.mp4", 4, 4, (1, 25), (1, 1))
    with serving(TALLIES) as server, Client(server) as client:
        welcome, _ = client.hello(TALLIES)
        client.say(Course(1, "a", about))
        assert client.hear()[0] == Heard(1)
        assert client.hello(TALLIES)[0] == welcome
        client.work(2, numbered(1))
        assert isinstance(client.hear()[0], Done)
        assert client.hello(TALLIES, every=5)[0] == welcome  # this one asks for something else
        client.work(3, numbered(1))
        assert isinstance(client.hear()[0], Failed)


def test_a_client_that_says_nothing_more_is_forgotten(monkeypatch):
    monkeypatch.setattr(serve, "FORGOTTEN", 0.3)
    monkeypatch.setattr(serve, "LOOK", 0.05)
    with serving(CLUMSY) as server, Client(server, "a") as a, Client(server, "b") as b:
        a.hello(CLUMSY)
        time.sleep(0.6)
        assert b.hello(CLUMSY, slow=0.01)[0] == Welcome(1, {})
        a.say(Signal("ping"))
        assert a.hear()[0] == Signal("unknown")


def test_a_request_without_a_hello_or_beyond_the_limit_is_not_done(monkeypatch):
    monkeypatch.setattr(serve, "UNDER_WAY", 2)
    with serving(CLUMSY) as server, Client(server) as client:
        client.work(1, numbered(1))
        assert client.hear()[0] == Signal("unknown")
        client.hello(CLUMSY, slow=0.2)
        for number in (1, 2, 3):
            client.work(number, numbered(1))
        assert client.hear()[0].why.startswith("expected at most 2 requests at once")


def test_who_says_no_hello_that_is_accepted_is_cut(monkeypatch):
    with serving(CLUMSY) as server, Client(server, "a") as a, Client(server, "b") as b, Client(server, "c") as c:
        assert a.hello(CLUMSY)[0] == b.hello(CLUMSY)[0] == Welcome(1, {})
        monkeypatch.setattr(guard, "UNPROVEN_SECONDS", 0.3)
        b.say(Signal("bye"))
        c.hello(ECHO)
        end = time.monotonic() + 10
        while not (b.port.cut and c.port.cut) and time.monotonic() < end:
            for client in (a, b, c):
                client.say(Signal("ping"))
                client.port.receive(0.02)
        assert [client.port.cut for client in (a, b, c)] == [False, True, True]


def test_a_client_of_which_too_much_is_held_is_cut_and_its_requests_are_dropped(monkeypatch):
    monkeypatch.setattr(serve, "MOST_HELD", 1 << 16)
    with serving(CLUMSY) as server, Client(server, "a") as greedy, Client(server, "b") as client:
        for each in (greedy, client):
            assert each.hello(CLUMSY, slow=0.5)[0] == Welcome(1, {})
        for number in range(4):  # one is worked on; of the others, the last is too much
            entries, parts = pack(numbered(1), None)
            greedy.say(WorkRequest(number, entries), [*parts, np.zeros(number * 15_000, np.uint8)][: 1 + number])
        for _ in range(500):
            greedy.port.receive(0.01)
            if greedy.port.cut:
                break
        assert greedy.port.cut
        client.work(1, numbered(1))
        assert isinstance(client.hear()[0], Done)
        assert server._pool.malformed == 0  # those that waited have a part too many, and were not looked at


def test_shared_memory_that_is_not_there_is_no_way_in():
    with serving(CLUMSY) as server, Client(server) as client:
        client.hello(CLUMSY)
        entries, _ = pack(numbered(1), None)
        client.say(WorkRequest(1, entries, where=PartsInSlot(0, ((0, 48),))))
        assert "shared memory that is not there" in client.hear()[0].why
        assert server.malformed == 1


def test_what_is_chosen_here_counts_more_than_what_a_client_says():
    with serving(CLUMSY, overrides={"workers": 2, "slow": None}) as server, Client(server) as client:
        assert client.hello(CLUMSY, workers=5)[0] == Welcome(2, {})


def test_ten_thousand_mutations_through_a_socket_harm_nobody():
    entries, parts = pack(numbered(2), None)
    real = [
        (Hello("noise", CLUMSY, {"workers": 2}), ()),
        (WorkRequest(3, entries), parts),
        (Signal("ping"), ()),
        (Failed(1, "x"), ()),
    ]
    messages = [[encode(message), *(p.tobytes() for p in parts)] for message, parts in real]
    with serving(CLUMSY) as server, Client(server, "noise") as noise, Client(server, "a") as client:
        assert client.hello(CLUMSY, workers=2)[0] == Welcome(2, {})
        for header, *rest in mutations(messages, 10_000, seed=5):
            while not noise.port.send(header, [np.frombuffer(part, np.uint8) for part in rest]):
                noise.port.receive(0.001)
            noise.port.receive(0)
        assert threading.active_count() < 10
        client.work(1, numbered(1))
        assert isinstance(client.hear(20)[0], Done)
        assert server.malformed > 3000
        assert len(server._sessions) <= MOST


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("detektor", {}, "unknown stage 'detektor': did you mean 'detector'?"),
        ("odd_stages:Nobody", {}, "no stage 'odd_stages:Nobody'"),
        ("nosuchmodule:Stage", {}, "No module named 'nosuchmodule'"),
        ("json:JSONDecoder", {}, "is not a stage"),
        ("annotator", {"overrides": {"threads": 2}}, "annotator: unknown setting 'threads'"),
        ("detector", {"address": "tcp://*:0"}, "give it --key and --allow"),
        ("detector", {"address": "tcp://0.0.0.0:0"}, "give it --key and --allow"),
        ("detector", {"address": "udp://1.2.3.4:5"}, "expected tcp://HOST:PORT"),
        ("detector", {"taken": True}, "cannot listen at tcp://127.0.0.1:"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(name, options, why):
    with serving(ECHO) as other, pytest.raises(ConfigError, match=re.escape(why)):
        free = {"address": "tcp://127.0.0.1:0"}
        Server(name, **({"address": other.address} if "taken" in options else free | options))


def test_with_keys_it_may_listen_for_other_hosts():
    public, secret = new_keys()
    with Server(ECHO, "tcp://*:0", Keys(secret, (public,))) as server:
        assert server.address.startswith("tcp://")


@pytest.mark.parametrize(
    "stage",
    [
        Detector(workers=2, classes=("person",), imgsz=(640, 384)),
        Detector(imgsz=320),
        Detector(streams={"gate": {"conf": 0.5, "every": 3}, "tür": {"iou": 0.1}}),
        Tallies(once=Path("/tmp/ä"), fails_at=(1, 2)),
        Tallies(once=Path("/tmp/\udcff")),
        Detector(model="\udcff.onnx"),
    ],
)
def test_settings_cross_as_json_and_make_the_same_stage(stage):
    said = decode(encode(Hello("a", name_of(stage), settings_of(stage)))).settings
    assert build(kind_of(name_of(stage)), said, {}) == stage


def test_a_stage_that_nobody_else_can_import_is_refused():
    class Mine:
        name = "mine"

    with pytest.raises(ConfigError, match="mine cannot be placed elsewhere"):
        name_of(Mine())


def test_nothing_is_left():
    before = everything()
    for _ in range(3):
        with serving(CLUMSY) as server, Client(server) as client:
            client.hello(CLUMSY, workers=3)
            client.work(1, numbered(1))
            client.hear()
    assert everything() == before
