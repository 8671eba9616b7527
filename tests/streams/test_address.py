import pytest

from watchline.streams.address import conceal, device_of, is_live, parse
from watchline.streams.errors import SourceUnreadable


@pytest.mark.parametrize(
    ("url", "user", "password", "shown"),
    [
        pytest.param("rtsp://cam/live", None, None, "rtsp://cam/live", id="no login"),
        pytest.param("RTSP://joe:pw@cam:554/a/b?x=1#f", "joe", "pw", "rtsp://cam:554/a/b", id="all parts"),
        pytest.param("rtsp://joe@cam", "joe", "", "rtsp://cam", id="no password"),
        pytest.param("rtsp://joe:@cam/", "joe", "", "rtsp://cam/", id="empty password"),
        pytest.param("rtsp://joe:p@ss@cam/x", "joe", "p@ss", "rtsp://cam/x", id="an @"),
        pytest.param("rtsp://joe:p:w@cam/x", "joe", "p:w", "rtsp://cam/x", id="a colon"),
        pytest.param("rtsp://joe:p/w@cam/x", "joe", "p/w", "rtsp://cam/x", id="a slash"),
        pytest.param("rtsp://joe:p@:/w@cam/x", "joe", "p@:/w", "rtsp://cam/x", id="all of them"),
        pytest.param("rtsp://joe:p@s/w@cam/x", "joe", "p@s/w", None, id="two hosts"),
        pytest.param("rtsp://joe:p?w@cam:8554/x", "joe", "p?w", "rtsp://cam:8554/x", id="a question mark"),
        pytest.param("rtsp://joe:p%40w@cam/x", "joe", "p@w", "rtsp://cam/x", id="an encoded @"),
        pytest.param("rtsp://joe:p%2Fw%25@cam/x@1", "joe", "p/w%", None, id="two readings"),
        pytest.param("rtsp://joe:100%@cam/x", "joe", "100%", "rtsp://cam/x", id="a bare %"),
        pytest.param("rtsp://joe:12/3@cam/x", None, None, None, id="a slash after what could be a port"),
        pytest.param("rtsp://cam/x@1", None, None, "rtsp://cam/x@1", id="an @ in the path"),
        pytest.param("http://[fe80::1]:80/v", None, None, "http://[fe80::1]:80/v", id="IPv6"),
        pytest.param("udp://@239.0.0.1:5000", None, None, "udp://239.0.0.1:5000", id="a group"),
        pytest.param("udp://:5000?pkt_size=1316", None, None, "udp://0.0.0.0:5000", id="a port"),
        pytest.param("rtp://@:5000", None, None, "rtp://0.0.0.0:5000", id="a port after an @"),
        pytest.param("rtsp://cam/user=me&password=pw&channel=1", None, None,
                     "rtsp://cam/user=***&password=***&channel=1", id="a login in the path"),
    ],
)  # fmt: skip
def test_addresses_are_read(url, user, password, shown):
    if shown is None:
        with pytest.raises(SourceUnreadable, match="two ways: in a password write / as %2F"):
            parse(url)
        return
    address = parse(url)
    assert (address.user, address.password, address.shown) == (user, password, shown)
    again = parse(address.url)  # as it goes to FFmpeg: encoded, and the same
    assert again == address
    for secret in (user, password):
        assert not secret or secret not in repr(address)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("cam/live", "without a scheme"),
        ("file:///videos/clip.mp4", "file:// names a file of this machine: give its path alone"),
        ("srt://joe:secret@cam/live", "srt:// addresses cannot be read: expected one of rtsp, .* rtp; a relay such as"),
        ("rtsp://", "no host"),
        ("rtsp://joe:secret@/x", "no host"),
        ("rtsp://joe:secret@cam:0/x", "its port is not valid"),
        ("rtsp://joe:secret@cam:70000/x", "its port is not valid"),
        ("rtsp://joe:secret@a b/x", "no host"),
    ],
)
def test_what_is_no_address_is_told_without_showing_it(url, message):
    with pytest.raises(SourceUnreadable, match=message) as error:
        parse(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "live", "device"),
    [
        ("rtsp://cam/x", True, None),
        ("HTTPS://cam/x", True, None),
        ("rtmp://cam/x", True, None),  # no file either: the error says which schemes there are
        ("0", True, "/dev/video0"),
        ("12", True, "/dev/video12"),
        ("/dev/video3", True, "/dev/video3"),
        ("clip.mp4", False, None),
        ("./0", False, None),
        ("a:b.mp4", False, None),
        ("/dev/null", False, None),
        ("-1", False, None),
    ],
)
def test_words_are_told_apart(word, live, device):
    assert (is_live(word), device_of(word)) == (live, device)


@pytest.mark.parametrize(
    ("url", "stream"),
    [
        ("rtsp://joe:pw@10.0.0.7:554/Streaming/Channels/101?key=secret", "10.0.0.7-Streaming-Channels-101"),
        ("rtsp://cam", "cam"),
        ("rtsp://cam/", "cam"),
        ("http://[::1]/../x y", "1-..-x-y"),
        ("rtsp://cam/user=me&password=pw&channel=1", "cam-channel-1"),
        ("rtsp://cam/" + "x" * 300, "cam-" + "x" * 76),
    ],
)
def test_stream_names_are_file_names(url, stream):
    assert parse(url).stream == stream


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://joe:canary@cam:554/x",
        "rtsp://joe:can@ry@cam/x",
        "rtsp://joe:can/ry@cam/x",
        "rtsp://joe:can%40ry%2F@cam/x",
        "rtsp://joe:canary%@cam/x",
        "http://cam/x?token=canary1&channel=1",
        "http://cam/x?can%20ary",
        "rtsp://cam/user=me&password=canary",
        "rtmp://joe:canary@cam/x",
    ],
)
def test_nothing_of_a_login_stays_in_a_text(url):
    parts = [url]
    try:
        address = parse(url)
    except SourceUnreadable:
        pass
    else:
        parts += [address.url, address.password or "", f"{address.user}:{address.password}", address.query]
        assert address.shown in conceal(f"cannot open {url}", url)
    text = conceal("cannot open " + "', '".join(part for part in parts if part) + ": 401", url)
    for secret in ("canary", "can@ry", "can/ry", "can%40ry", "can@ry/", "can ary", "can%20ary"):
        assert secret not in text
    assert text.startswith("cannot open ")
    assert text.endswith(": 401")
