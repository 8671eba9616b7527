"""Downloads against a real server: what is kept, what goes on, what is refused, and in which words."""

import errno
import fcntl
import hashlib
import re
import shlex
import subprocess
import sys
import urllib.request
from http.client import HTTPMessage
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from file_server import BODY, HALF, OTHER, serve, wait_for

from watchline.cli import main
from watchline.export.weights.catalogue import CATALOGUE, File
from watchline.export.weights.download import Denied, Patience, _Redirects
from watchline.export.weights.fetch import FetchFailed, fetch

SIZE = len(BODY)
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
QUICK = Patience(timeout=0.4, slowest=5000, pauses=(0.0, 0.0))
ONCE = Patience(timeout=0.4, slowest=5000, pauses=())


@pytest.fixture
def web():
    with serve() as server:
        yield server


def wanted(web, *paths, digest=DIGEST, size=SIZE):
    return File("net.weights", tuple(web.url(path) for path in paths), digest, size)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["/good", "/weak", "/no-ranges", "/no-length", "/redirect", "/503-once"])
def test_a_file_comes_whole_and_alone(web, tmp_path, path):
    told = []
    got = fetch(wanted(web, path), tmp_path / "new" / "folder", lambda *bytes: told.append(bytes), QUICK)
    assert got == tmp_path / "new" / "folder" / "net.weights"
    assert got.read_bytes() == BODY
    assert names(got.parent) == ["net.weights"]
    assert told[-1] == (SIZE, SIZE)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {asked.agent for asked in web.asked} == {"watchline"}


@pytest.mark.parametrize(
    "digest", [DIGEST, f"sha1:{hashlib.sha1(BODY).hexdigest()}"], ids=["sha256", "sha1"]
)  # fmt: skip
def test_a_file_without_a_known_size_is_told_by_its_hash(web, tmp_path, digest):
    for number, path in enumerate(("/good", "/no-length")):
        assert fetch(wanted(web, path, digest=digest, size=None), tmp_path / str(number)).read_bytes() == BODY


def test_what_is_there_is_checked_and_not_downloaded_again(web, tmp_path):
    fetch(wanted(web, "/good"), tmp_path)
    assert fetch(wanted(web, "/good"), tmp_path).read_bytes() == BODY
    assert web.times("/good") == 1


def test_another_file_of_that_name_stays_as_it_is(web, tmp_path):
    (tmp_path / "net.weights").write_bytes(b"mine")
    with pytest.raises(FetchFailed, match=r"it is there and is another file: its sha256 is [0-9a-f]{64}, expected"):
        fetch(wanted(web, "/good"), tmp_path)
    assert (tmp_path / "net.weights").read_bytes() == b"mine"
    assert web.asked == []


def test_a_broken_connection_goes_on_where_it_broke(web, tmp_path):
    assert fetch(wanted(web, "/cut-once"), tmp_path, patience=QUICK).read_bytes() == BODY
    assert [(a.range, a.condition, a.sent) for a in web.asked] == [
        (None, None, HALF),
        (f"bytes={HALF}-", '"one"', SIZE - HALF),
    ]


def test_a_second_run_goes_on_where_the_first_ended(web, tmp_path):
    with pytest.raises(FetchFailed, match=f"stopped after {HALF} of {SIZE} bytes; {HALF} bytes are kept"):
        fetch(wanted(web, "/cut-always"), tmp_path, patience=ONCE)
    assert names(tmp_path) == ["net.weights.part", "net.weights.part.json"]
    assert (tmp_path / "net.weights.part").read_bytes() == BODY[:HALF]
    assert fetch(wanted(web, "/good"), tmp_path).read_bytes() == BODY
    assert web.asked[-1].sent == SIZE - HALF
    assert web.asked[-1].condition is None, "the tag of another address says nothing here"
    assert names(tmp_path) == ["net.weights"]


def test_a_whole_part_needs_no_server(web, tmp_path):
    with pytest.raises(FetchFailed):
        fetch(wanted(web, "/cut-always"), tmp_path, patience=ONCE)
    (tmp_path / "net.weights.part").write_bytes(BODY)
    assert fetch(wanted(web, "/404"), tmp_path).read_bytes() == BODY
    assert web.times("/404") == 0


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("/changes", 2),  # the tag tells at once
        ("/changes-untold", 3),  # the hash tells at the end
    ],
)
def test_a_file_that_changes_in_between_is_begun_anew(web, tmp_path, path, requests):
    assert fetch(wanted(web, path), tmp_path, patience=QUICK).read_bytes() == BODY
    assert web.times(path) == requests
    assert web.asked[-1].sent == SIZE


@pytest.mark.parametrize("path", ["/no-ranges", "/wrong-range", "/416", "/no-length"])
def test_a_server_that_cannot_go_on_gives_all_of_it(web, tmp_path, path):
    with pytest.raises(FetchFailed):
        fetch(wanted(web, "/cut-always"), tmp_path, patience=ONCE)
    assert fetch(wanted(web, path), tmp_path, patience=ONCE).read_bytes() == BODY
    assert web.asked[-1].sent == SIZE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part, note: part.write_bytes(OTHER[:HALF]),
        lambda part, note: part.write_bytes(BODY + OTHER),
        lambda part, note: note.unlink(),
        lambda part, note: note.write_text("[1"),
        lambda part, note: note.write_text('{"digest": "sha256:0", "url": "", "tag": null}'),
    ],
    ids=["other bytes", "too many bytes", "no note", "broken note", "of another version"],
)
def test_a_part_of_something_else_is_found_out(web, tmp_path, spoil):
    with pytest.raises(FetchFailed):
        fetch(wanted(web, "/cut-always"), tmp_path, patience=ONCE)
    spoil(tmp_path / "net.weights.part", tmp_path / "net.weights.part.json")
    assert fetch(wanted(web, "/good"), tmp_path).read_bytes() == BODY
    assert web.asked[-1].sent == SIZE


@pytest.mark.parametrize(
    ("path", "requests", "says"),
    [
        ("/404", 1, "has no such file (HTTP 404)"),
        ("/403", 1, "refuses (HTTP 403)"),
        ("/503", 3, "has trouble (HTTP 503)"),
        ("/other", 1, "has another file: its sha256 is "),
        ("/page", 1, f"has another file: 53 bytes, expected {SIZE}"),
        ("/wrong-length", 1, f"has another file: {SIZE + 10} bytes, expected {SIZE}"),
        ("/too-long", 1, f"has another file: more than {SIZE} bytes"),
        ("/loop", 6, "redirects too often, or to nowhere (HTTP 302)"),
        ("/ftp", 1, "redirects from http to ftp"),
        ("/local", 1, "redirects too often, or to nowhere (HTTP 302)"),
        ("/silent", 3, "does not answer any more"),
    ],
)
def test_what_is_refused_leaves_one_line_and_nothing_else(web, tmp_path, path, requests, says):
    with pytest.raises(FetchFailed) as refused:
        fetch(wanted(web, path), tmp_path, patience=QUICK)
    assert f"net.weights: not downloaded: {web.url(path)} {says}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert web.times(path) == requests
    assert names(tmp_path) == []


@pytest.mark.parametrize(("path", "says"), [("/freezes", "does not answer any more"), ("/drip", "bytes a second")])
def test_a_server_that_stalls_is_given_up(web, tmp_path, path, says):
    with pytest.raises(FetchFailed, match=f"{says}.*; [0-9]+ bytes are kept: the same command goes on there"):
        fetch(wanted(web, path), tmp_path, patience=ONCE)


def test_no_server_at_all(tmp_path):
    with serve() as gone:
        file = wanted(gone, "/good")
    with pytest.raises(FetchFailed, match=r"cannot be reached \(.*refused\)"):
        fetch(file, tmp_path, patience=QUICK)


def test_the_second_address_helps_out(web, tmp_path):
    assert fetch(wanted(web, "/404", "/page", "/good"), tmp_path, patience=QUICK).read_bytes() == BODY
    assert [asked.path for asked in web.asked] == ["/404", "/page", "/good"]
    with pytest.raises(FetchFailed, match=r"/404 has no such file .*; http\S+/403 refuses"):
        fetch(wanted(web, "/404", "/403"), tmp_path / "none", patience=QUICK)


def test_the_address_of_a_redirect_is_never_told(web, tmp_path, caplog):
    with pytest.raises(FetchFailed) as refused:
        fetch(wanted(web, "/signed"), tmp_path, patience=QUICK)
    error: BaseException | None = refused.value
    while error:
        assert "canary" not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__
    assert "canary" not in caplog.text


def test_https_stays_https():
    asked = urllib.request.Request("https://host/net")
    follow = _Redirects().redirect_request
    for lower in ("http://host/net", "ftp://host/net"):
        with pytest.raises(Denied, match="redirects from https to"):
            follow(asked, BytesIO(), 302, "Found", HTTPMessage(), lower)
    further = follow(asked, BytesIO(), 302, "Found", HTTPMessage(), "https://other/net")
    assert further is not None
    assert further.full_url == "https://other/net"


def test_a_full_disk_is_seen_before_it_is_full(web, small_disk):
    folder = small_disk("64k")
    with pytest.raises(FetchFailed, match=f"{SIZE} bytes are to come and [0-9]+ are free") as refused:
        fetch(wanted(web, "/good"), folder, patience=QUICK)
    assert "or name another folder" in str(refused.value)
    with pytest.raises(FetchFailed, match=r"cannot be written \(No space left on device\)") as refused:
        fetch(wanted(web, "/no-length", size=None), folder, patience=QUICK)
    assert refused.value.__cause__.errno == errno.ENOSPC


def test_a_folder_that_may_not_be_written(web, public, as_nobody):
    with as_nobody(), pytest.raises(FetchFailed, match=r"cannot be written \(Permission denied\)"):
        fetch(wanted(web, "/good"), public / "mine")
    (public / "file").touch()
    with pytest.raises(FetchFailed, match=r"cannot be written \((File exists|Not a directory)\)"):
        fetch(wanted(web, "/good"), public / "file")


def started(file, folder):
    """A process that fetches the file."""
    code = (
        "import logging, sys\nfrom pathlib import Path\nfrom watchline.export.weights.catalogue import File\n"
        "from watchline.export.weights.fetch import fetch\nlogging.basicConfig()\n"
        f"print(fetch({file!r}, Path({str(folder)!r})))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_download_once(web, tmp_path):
    file = wanted(web, "/slow")
    runs = [started(file, tmp_path) for _ in range(2)]
    ends = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    assert {out for out, _ in ends} == {f"{tmp_path / 'net.weights'}\n"}
    assert sum("another process downloads it: waiting" in err for _, err in ends) == 1
    assert [asked.sent for asked in web.asked] == [SIZE]
    assert names(tmp_path) == ["net.weights"]


def test_a_part_that_vanishes_while_one_waits_for_it(web, tmp_path):
    """The other process was refused by its servers, and has cleaned up."""
    part = tmp_path / "net.weights.part"
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        run = started(wanted(web, "/good"), tmp_path)
        assert "waiting" in run.stderr.readline()
        part.unlink()
    out, err = run.communicate(timeout=20)
    assert (run.returncode, out) == (0, f"{tmp_path / 'net.weights'}\n"), err


def test_a_killed_process_leaves_what_the_next_goes_on_with(web, tmp_path):
    file, part = wanted(web, "/freezes"), tmp_path / "net.weights.part"
    run = started(file, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size > 50_000)
    run.kill()
    run.communicate()
    kept = part.stat().st_size
    assert 0 < kept < SIZE
    assert fetch(wanted(web, "/good"), tmp_path).read_bytes() == BODY
    assert web.asked[-1].sent == SIZE - kept


def all_files():
    return [file for entry in CATALOGUE.values() for file in entry.files]


def test_the_catalogue_is_in_shape():
    files = all_files()
    assert len({file.name for file in files}) == len(files), "they share a folder"
    assert len({file.digest for file in files}) == len(files)
    urls = [url for file in files for url in file.urls]
    assert len(set(urls)) == len(urls)
    for url in urls:
        parts = urlsplit(url)
        assert (parts.scheme, parts.query, parts.username) == ("https", "", None), url
    for file in files:
        assert re.fullmatch(r"[a-z0-9][\w.+-]*\.(cfg|weights|pth|onnx)", file.name), file.name
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|sha1:[0-9a-f]{40}", file.digest), file.name
        assert file.size is None or 1000 < file.size < 10**9, file.name
        assert all(url.endswith(f"/{file.name}") for url in file.urls)


@pytest.mark.parametrize("file", [f for f in all_files() if f.name.endswith(".pth")], ids=lambda file: file.name)
def test_torchvision_tells_the_beginning_of_the_hash_in_the_name(file):
    assert re.search(r"-([0-9a-f]{8})\.pth$", file.name)[1] == file.digest.removeprefix("sha256:")[:8]


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_the_next_command_is_one(entry, capsys):
    words = shlex.split(entry.next.format(files=" ".join(file.name for file in entry.files)))
    assert words[0] == "watchline"
    with pytest.raises(SystemExit) as left:
        main([*words[1:], "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(word.split("=")[0] in told for word in words if word.startswith("--"))


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.files[0].name.endswith(".cfg")])
def test_darknet_comes_as_network_and_weights(name):
    assert [file.name for file in CATALOGUE[name].files] == [f"{name}.cfg", f"{name}.weights"]
