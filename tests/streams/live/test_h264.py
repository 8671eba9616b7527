import re
from fractions import Fraction

import av
import pytest
from clips import picture

from watchline.streams.live.h264 import IDR, FrameNumbers

SLICE = re.compile(rb"\x00\x00\x01([\x01\x05\x21\x25\x41\x45\x61\x65])")


def encode(frames, **options):
    """Packets (Annex B) in order of decoding, each with the header byte of its first slice."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = 64, 48
    encoder.pix_fmt = options.pop("pix_fmt", "yuv420p")
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"x264-params": "annexb=1:repeat-headers=1", **options}
    packets = []
    for index in [*range(frames), None]:
        frame = None if index is None else av.VideoFrame.from_ndarray(picture(index), "bgr24")
        if frame is not None:
            frame = frame.reformat(format=encoder.pix_fmt)
            frame.pts = index
        packets += encoder.encode(frame)
    return [(data, SLICE.search(data)[1][0]) for data in map(bytes, packets)]


@pytest.mark.parametrize(
    "options",
    [
        {"bf": "0"},
        {"bf": "3"},
        {"bf": "0", "refs": "4", "profile": "main"},
        {"bf": "0", "profile": "baseline"},
        {"bf": "0", "pix_fmt": "yuv444p"},
        {"bf": "0", "slices": "4"},
        {"bf": "0", "g": "12"},
        {"bf": "0", "x264-params": "annexb=1:repeat-headers=1:cqm=jvt"},
        {"bf": "0", "x264-params": "annexb=1:repeat-headers=1:intra-refresh=1"},
    ],
    ids=str,
)
def test_every_lost_reference_shows_and_nothing_else(options):
    packets = encode(40, **options)
    numbers = FrameNumbers(None)
    assert [numbers.lacks(packet) for packet, _ in packets] == [False] * 40
    for lost in range(1, 39):
        numbers = FrameNumbers(None)
        seen = [numbers.lacks(packet) for index, (packet, _) in enumerate(packets) if index != lost]
        header, following = packets[lost][1], packets[lost + 1][1]
        if header & 31 == IDR:
            continue
        is_needed = header >> 5 > 0 and following & 31 != IDR
        assert any(seen) == is_needed, lost
        if is_needed:
            assert seen.index(True) == lost


def test_parameter_sets_may_come_before_the_stream():
    packets = [packet for packet, _ in encode(6, bf="0")]
    start = packets[0].find(b"\0\0\1\x65")
    headers = packets[0][:start]
    numbers = FrameNumbers(headers)
    assert not numbers.lacks(packets[0][start:])
    assert numbers.lacks(packets[2])
    numbers.forget()
    assert not numbers.lacks(packets[4])
    without = FrameNumbers(None)
    assert not any(without.lacks(packet[start:]) for packet in packets)


def test_rubbish_is_no_reason_to_fail():
    packets = [packet for packet, _ in encode(3, bf="0")]
    for end in range(80):
        numbers = FrameNumbers(packets[0][:end])
        for packet in packets:
            numbers.lacks(packet[:end])
            numbers.lacks(packet)
    assert not FrameNumbers(b"\0\0\1").lacks(b"\0\0\1\x67\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
