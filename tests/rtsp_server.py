"""A real RTSP server of test pictures on loopback, by GStreamer. It runs under the system's Python; rtsp.py starts it:

    apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}
    /usr/bin/python3 rtsp_server.py --port 0 --codec h264 --size 640x360 --fps 25

It prints one JSON line when it serves: {"port": 34567}. Its paths:

    /live      pictures with a mark (marks.py): their number, and when they were drawn
    /resize    the same, alternating between half and full size every two seconds
    /sound     the same as /live, with sound
    /audio     sound only
    /strange   data that no decoder knows
    /file      an MP4, if --file names one

Every client of a path gets the same pictures. The number increases also without clients.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import gi
from marks import BLACK, COLUMNS, ROWS, WHITE, bits_of, block_size

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

RESIZE_SECONDS = 2
ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bframes=0 key-int-max={gop} bitrate={kbps} threads=1 "
    "! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h264-b": "x264enc speed-preset=superfast bframes=2 b-adapt=false b-pyramid=false rc-lookahead=3 sync-lookahead=0 "
    "key-int-max={gop} bitrate={kbps} threads=1 ! video/x-h264,profile=main "
    "! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps} "
    "option-string=pools=none:frame-threads=1:log-level=none ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}
AUDIO = "( audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay0 pt=8 )"
SOUND = " audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8 )"
STRANGE = (
    "( videotestsrc is-live=true ! video/x-raw,width=32,height=32,framerate=5/1 ! jpegenc ! rtpgstpay name=pay0 pt=96 )"
)
Size = tuple[int, int]


def picture(counter: int, size: Size, noise: bool) -> bytes:
    """A picture in I420: the mark at the top, below it a grey ramp with a moving bar, or noise (many packets)."""
    width, height = size
    side = block_size(width)
    bits = bits_of(counter, time.monotonic_ns())
    rows = []
    for row in range(ROWS):
        blocks = (bytes([WHITE if bit else BLACK]) * side for bit in bits[row * COLUMNS : (row + 1) * COLUMNS])
        rows.append(b"".join(blocks).ljust(width, bytes([BLACK])) * side)
    ramp = bytearray(64 + 128 * x // width for x in range(width))
    bar = counter * 8 % (width - 16)
    ramp[bar : bar + 16] = bytes([WHITE]) * 16
    below = height - ROWS * side
    luma = b"".join(rows) + (os.urandom(width * below) if noise else bytes(ramp) * below)
    return luma + bytes([128]) * (width // 2 * (height // 2) * 2)


class Pictures:
    """Feeds pictures to the appsrc of a path, each when it is due."""

    def __init__(self, fps: float, size_at: Callable[[int], Size], noise: bool) -> None:
        self._fps = fps
        self._noise = noise
        self._size_at = size_at
        self._start = time.monotonic()

    def configure(self, _: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        """GStreamer calls it when the first client of a path connects."""
        source = media.get_element().get_by_name_recurse_up("pictures")
        over = threading.Event()
        media.connect("unprepared", lambda _: over.set())
        threading.Thread(target=self._feed, args=(source, over), daemon=True).start()

    def _feed(self, source: Gst.Element, over: threading.Event) -> None:
        first = int((time.monotonic() - self._start) * self._fps) + 1
        counter, shown = first, None
        while not over.wait(max(0.0, self._start + counter / self._fps - time.monotonic())):
            size = self._size_at(counter)
            if size != shown:
                source.set_property("caps", self._caps(size))
                shown = size
            buffer = Gst.Buffer.new_wrapped(picture(counter, size, self._noise))
            buffer.duration = int(Gst.SECOND / self._fps)
            buffer.pts = int((counter - first) * Gst.SECOND / self._fps)
            if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return
            counter += 1

    def _caps(self, size: Size) -> Gst.Caps:
        rate = Fraction(self._fps).limit_denominator(1001)
        shape = f"width={size[0]},height={size[1]},framerate={rate.numerator}/{rate.denominator}"
        return Gst.Caps.from_string(f"video/x-raw,format=I420,{shape}")


def factory_of(launch: str, transport: str) -> GstRtspServer.RTSPMediaFactory:
    """A path whose pictures all clients share."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    factory.set_shared(True)
    factory.set_latency(0)
    kinds = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
    factory.set_protocols(kinds[transport] if transport in kinds else kinds["tcp"] | kinds["udp"])
    return factory


def guard(server: GstRtspServer.RTSPServer, login: str, method: str, paths: list) -> None:
    """Admit only the user with this `name:password`."""
    user, password = login.split(":", 1)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    if method == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    server.set_auth(auth)
    for factory in paths:
        permissions = GstRtspServer.RTSPPermissions()
        for permission in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("user", permission, True)
        factory.set_permissions(permissions)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes any")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--gop", type=int, default=15, help="frames from one key frame to the next")
    parser.add_argument("--kbps", type=int, default=2000)
    parser.add_argument("--noise", action="store_true", help="pictures that need many packets")
    parser.add_argument("--path", default="/live", help="of the marked pictures")
    parser.add_argument("--file", help="an MP4 of H.264, which /file plays once to each client")
    parser.add_argument("--login", help="user:password")
    parser.add_argument("--auth", choices=("basic", "digest"), default="digest")
    parser.add_argument("--transport", choices=("tcp", "udp", "both"), default="both")
    options = parser.parse_args()

    Gst.init(None)
    width, height = (int(side) for side in options.size.split("x"))
    half = (width // 4 * 2, height // 4 * 2)
    period = int(RESIZE_SECONDS * options.fps)
    encoder = ENCODERS[options.codec].format(gop=options.gop, kbps=options.kbps)
    marked = f"( appsrc name=pictures is-live=true format=time max-bytes=0 ! {encoder} )"
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    paths = {}
    for path, size_at in (
        (options.path, lambda counter: (width, height)),
        ("/resize", lambda counter: half if counter // period % 2 else (width, height)),
    ):
        paths[path] = factory_of(marked, options.transport)
        paths[path].connect("media-configure", Pictures(options.fps, size_at, options.noise).configure)
    paths["/sound"] = factory_of(marked[:-1] + SOUND, options.transport)
    paths["/sound"].connect("media-configure", Pictures(options.fps, lambda _: (width, height), False).configure)
    paths["/audio"] = factory_of(AUDIO, options.transport)
    if options.file:
        play = f"( filesrc location={options.file} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 )"
        paths["/file"] = factory_of(play, options.transport)
        paths["/file"].set_shared(False)
    paths["/strange"] = factory_of(STRANGE, options.transport)
    for path, factory in paths.items():
        server.get_mount_points().add_factory(path, factory)
    if options.login:
        guard(server, options.login, options.auth, list(paths.values()))
    server.attach(None)
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    sys.stdout.write(json.dumps({"port": server.get_bound_port()}) + "\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
