"""Logins that FFmpeg does not know, and what cameras answer, at a door in front of a real RTSP server."""

import itertools
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from live_page import jpeg
from rtsp import BadWire, RtspServer, need_rtsp_server
from rtsp_door import Door, always, digest, reply

from watchline.streams.errors import SourceDenied, SourceLost, SourceNotFound, SourceRefused, SourceTimeout, StreamError
from watchline.streams.live.network import NetworkSource


@pytest.fixture(scope="module")
def server():
    need_rtsp_server()
    with RtspServer("--size", "320x180") as server, NetworkSource(server.url()).open():  # without viewers, it rests
        yield server


def url(door, login="gate:canary", path="/live"):
    return f"rtsp://{login}@127.0.0.1:{door.port}{path}"


def frames(source, count=3):
    with source.open() as reader:
        return [got.index for got, _ in zip(reader, range(count), strict=False)]


@pytest.mark.parametrize("algorithms", [["MD5"], ["SHA-256"], ["MD5", "SHA-256"], ["SHA-256", "MD5"]])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_digest_is_signed_and_a_wrong_password_sent_once(server, algorithms, transport):
    with Door(server.port, digest("gate", "canary", *algorithms)) as door:
        assert frames(NetworkSource(url(door), "gate", transport)) == [0, 1, 2]
    with Door(server.port, digest("gate", "canary", *algorithms)) as door:
        with pytest.raises(SourceDenied, match=r"refused user name or password \(401\); check them"):
            frames(NetworkSource(url(door, "gate:wrong"), "gate", transport))
        assert sum(line.startswith("Authorization") for line in door.requests) == 1


def test_a_login_that_is_not_known_is_named(server):
    offer = 'WWW-Authenticate: Digest realm="door", nonce="n1", algorithm=SHA-512-256'
    with Door(server.port, always("401 Unauthorized", offer)) as door:
        with pytest.raises(
            SourceDenied, match=r"takes only a login that is not known here \(401\), the digest SHA-512"
        ):
            frames(NetworkSource(url(door)))
        with pytest.raises(SourceDenied, match=r"wants user name and password \(401\)"):
            frames(NetworkSource(f"rtsp://127.0.0.1:{door.port}/live"))


@pytest.mark.parametrize("login", ["gate", "gate:"])
def test_a_user_needs_no_password(server, login):
    with Door(server.port, digest("gate", "", "MD5")) as door:
        assert frames(NetworkSource(url(door, login))) == [0, 1, 2]


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "453 Not Enough Bandwidth", "454 Session Not Found", "503 Service Unavailable"]
)
def test_a_refusal_is_said_as_it_is(server, status, method):
    with Door(server.port, always(status, to=method)) as door, pytest.raises(SourceLost) as told:
        frames(NetworkSource(url(door), "gate"))
    assert f"rtsp://127.0.0.1:{door.port}/live refused {method}: {status}; " in str(told.value)
    assert "canary" not in str(told.value)


def test_a_camera_that_still_closes_the_first_connection_is_asked_again(server):
    asked = itertools.count()

    def answer(line, headers):
        if line.startswith("DESCRIBE"):
            number = next(asked)
            return reply(("461 Unsupported Transport", "503 Service Unavailable")[number]) if number < 2 else None
        return None

    with Door(server.port, answer) as door:
        assert frames(NetworkSource(url(door))) == [0, 1, 2]


def test_a_camera_that_is_busy_for_a_moment_is_then_read_without_a_relay(server):
    asked = itertools.count()

    def answer(line, headers):
        is_first = line.startswith("DESCRIBE") and next(asked) == 0
        return reply("503 Service Unavailable") if is_first else None

    with Door(server.port, answer) as door, NetworkSource(url(door)).open() as reader:
        assert next(iter(reader)).index == 0
        assert not [thread.name for thread in threading.enumerate() if "relay" in thread.name]


@pytest.mark.parametrize("offer", ['Basic realm="x"', 'Digest realm="x", nonce="n1"'])
@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("404 Not Found", r"does not have this path \(404\)"),
        ("453 Not Enough Bandwidth", "refused DESCRIBE: 453"),
        ("461 Unsupported Transport", "refused DESCRIBE: 461"),
    ],
)
def test_a_refusal_after_the_login_is_not_one_of_the_password(server, offer, status, says):
    def answer(line, headers):
        if line.startswith("OPTIONS"):
            return None
        return reply(status) if "authorization" in headers else reply("401 Unauthorized", f"WWW-Authenticate: {offer}")

    with Door(server.port, answer) as door, pytest.raises(StreamError, match=says):
        frames(NetworkSource(url(door)))


def test_a_password_is_not_sent_again_and_again(server):
    nonces, signed = itertools.count(), itertools.count()

    def answer(line, headers):  # once "Not Found", then no login is right, each time with another nonce
        if "authorization" in headers and next(signed) == 0:
            return reply("404 Not Found")
        return reply("401 Unauthorized", f'WWW-Authenticate: Digest realm="x", nonce="n{next(nonces)}"')

    with Door(server.port, answer) as door:
        with pytest.raises(SourceNotFound, match=r"does not have this path \(404\)"):
            frames(NetworkSource(url(door), open_timeout=1.0))
        assert sum(line.startswith("Authorization") for line in door.requests) == 2


def test_a_nonce_that_is_stale_is_replaced(server):
    nonces = itertools.count()
    nonce, was_stale = [""], []

    def answer(line, headers):  # each nonce is good for one request
        signed = headers.get("authorization", "")
        if nonce[0] and f'nonce="{nonce[0]}"' in signed:
            nonce[0] = ""
            return None
        nonce[0] = f"n{next(nonces)}x"
        was_stale.append(bool(signed))
        stale = ", stale=TRUE" if signed else ""
        return reply(
            "401 Unauthorized", f'WWW-Authenticate: Digest realm="x", nonce="{nonce[0]}", algorithm=SHA-256{stale}'
        )

    with Door(server.port, answer) as door:
        assert frames(NetworkSource(url(door))) == [0, 1, 2]
    assert any(was_stale)


def test_a_servers_text_cannot_write_to_the_terminal(server):
    with Door(server.port, always("453 \x1b[31m" + "x" * 900)) as door, pytest.raises(SourceLost) as told:
        frames(NetworkSource(url(door), "gate"))
    assert "\x1b" not in str(told.value)
    assert len(str(told.value)) < 300


def test_a_redirect_is_followed_and_its_end_named(server):
    guarded = digest("gate", "canary", "MD5")
    with ExitStack() as doors:
        there = doors.enter_context(Door(server.port, guarded))
        place = f"Location: rtsp://127.0.0.1:{there.port}/live"
        door = doors.enter_context(Door(server.port, always("302 Moved", place)))
        assert frames(NetworkSource(url(door, path="/old"))) == [0, 1, 2]
        with pytest.raises(SourceDenied, match=rf":{there.port}/live, which refused user name or password \(401\)"):
            frames(NetworkSource(url(door, "gate:wrong", "/old")))
    for place, says in (
        ("rtsp://127.0.0.1:9/x?key=canary", "nothing listens at 127.0.0.1:9"),
        ("rtsp://no-such-host.invalid/x", "no host of this name is known"),
    ):
        with Door(server.port, always("302 Moved", f"Location: {place}")) as door, pytest.raises(SourceRefused) as told:
            frames(NetworkSource(url(door), "gate"))
        assert f"sends us on to {place.partition('?')[0]}, which is not there: {says}" in str(told.value)
        assert "canary" not in str(told.value)


def test_the_timeout_is_for_each_answer(server):
    def slow(line, headers):
        time.sleep(0.5)

    with Door(server.port, slow) as door:
        started = time.monotonic()
        assert frames(NetworkSource(url(door), open_timeout=1.5)) == [0, 1, 2]
        assert time.monotonic() - started > 1.5

    def silent(line, headers):
        if line.startswith("SETUP"):
            time.sleep(4)

    with Door(server.port, silent) as door:
        started = time.monotonic()
        with pytest.raises(SourceTimeout, match=r"did not answer within 0\.8 s; check .* or set a longer timeout"):
            frames(NetworkSource(url(door), open_timeout=0.8))
        assert time.monotonic() - started < 3.5


def test_sound_alone_is_not_silence(server):
    with BadWire(server.port, lambda number, packet: packet if number < 40 else None) as wire:
        source = NetworkSource(f"rtsp://127.0.0.1:{wire.port}/sound", read_timeout=1.5)
        with (
            pytest.raises(SourceTimeout, match=r"sent no picture for 1\.5 s, only sound or data"),
            source.open() as reader,
        ):
            assert list(reader)


class Page(BaseHTTPRequestHandler):
    """A camera's page: `/digest` wants a login by SHA-256, others send on to the place that `self.server` has."""

    def do_GET(self):
        offer = 'Digest realm="door", nonce="n1", algorithm='
        answer = digest("gate", "canary", "MD5", "SHA-256")(f"GET {self.path} HTTP/1.1", {**map_of(self.headers)})
        if self.path.startswith("/digest") and answer is None:
            with suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for number in range(10):
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(number) + b"\r\n")
            return
        self.send_response(401 if self.path.startswith("/digest") else 302)
        if self.path.startswith("/digest"):
            self.send_header("WWW-Authenticate", f"{offer}MD5")
            self.send_header("WWW-Authenticate", f"{offer}SHA-256")
        else:
            self.send_header("Location", self.server.place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def map_of(headers):
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture
def page():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_web_camera_is_logged_in_by_sha_256(page):
    address = f"http://gate:canary@127.0.0.1:{page.server_port}/digest?x=1"
    assert frames(NetworkSource(address)) == [0, 1, 2]
    with pytest.raises(SourceDenied, match=r"refused user name or password \(401\); check them"):
        frames(NetworkSource(address.replace("canary", "wrong")))


def test_a_web_camera_with_a_certificate_of_its_own_is_logged_in_by_sha_256(page, tmp_path):
    pem = tmp_path / "page.pem"  # signed by nobody, as cameras have them
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=camera".split()
    subprocess.run([*words, "-keyout", pem, "-out", tmp_path / "crt"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "crt").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    page.socket = context.wrap_socket(page.socket, server_side=True)
    assert frames(NetworkSource(f"https://gate:canary@127.0.0.1:{page.server_port}/digest")) == [0, 1, 2]


def test_where_a_web_camera_sends_us_on_to_is_named(page):
    page.place = "http://127.0.0.1:9/x?key=canary"
    with pytest.raises(SourceRefused) as told:
        frames(NetworkSource(f"http://127.0.0.1:{page.server_port}/old", "gate"))
    assert "/old sends us on to http://127.0.0.1:9/x, which is not there: nothing listens" in str(told.value)
    assert "canary" not in str(told.value)
