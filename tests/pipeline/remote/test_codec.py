import resource
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import picture, write_clip
from mutations import mutations

from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote.codec import merge, pack, pack_results, unpack
from watchline.pipeline.remote.protocol import Done, Malformed, Word, Work, decode, encode
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame

FOUND = Detections(
    np.array([[1.5, 2, 30, 40], [0, 0, 5, 5]], np.float32),
    np.array([0.9, 0.25], np.float32),
    np.array([1, 0], np.int64),
    ("person", "Fahrrad größer", "100 %"),
)


def photo(**changes):
    pixels = picture(0).copy()
    return Item(3, Frame("photos", 5, -7, Fraction(1, 90_000), ArrayPicture(pixels), **changes))


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    clip = write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", 3)
    with FileSource(clip).open() as reader:
        return [Item(i, frame) for i, frame in enumerate(reader)]


def flat(parts):
    """As they come from a socket."""
    return [np.frombuffer(np.ascontiguousarray(part).tobytes(), np.uint8) for part in parts]


def there(items, quality=None):
    entries, parts = pack(items, quality)
    work = decode(encode(Work(1, entries, quality)))
    return unpack(work.items, flat(parts))


def back(items, done, quality=None):
    entries, parts = pack_results(items, done, quality)
    return merge(items, decode(encode(Done(1, entries))).results, flat(parts))


def test_an_item_of_a_video_crosses_with_all_that_a_stage_may_look_at(decoded):
    for here, item in zip(decoded, there(decoded), strict=True):
        assert (item.sequence, item.detections, item.drawn) == (here.sequence, None, None)
        assert replace(item.frame, picture=here.frame.picture) == here.frame
        assert (item.frame.picture.bgr() == here.frame.picture.bgr()).all()
        assert (item.frame.picture.scaled(40, 30) == here.frame.picture.scaled(40, 30)).all()


@pytest.mark.parametrize("name", ["gate", "a/ä%41 é.png", "\udcff.jpg", "%", "%zz", "\ud800", '"\\\n\0', ""])
def test_any_name_crosses(name):
    item = photo(file=name)
    [got] = there([replace(item, frame=replace(item.frame, stream=name))])
    assert (got.frame.stream, got.frame.file) == (name, name)


def test_a_live_frame_has_its_time_and_epoch_there():
    [got] = there([photo(epoch=4, time=1.75e9)])
    assert (got.frame.epoch, got.frame.time) == (4, 1.75e9)


def test_detections_and_what_is_drawn_cross_in_both_directions():
    drawn = picture(5)
    item = replace(photo(), detections=FOUND, drawn=drawn)
    [got] = there([item])
    [again] = back([photo()], [item])
    for one in (got, again):
        assert (one.drawn == drawn).all()
        assert one.detections.labels == FOUND.labels
        for field in ("boxes", "scores", "classes"):
            a, b = getattr(one.detections, field), getattr(FOUND, field)
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()
    assert (got.frame.picture.bgr() == item.frame.picture.bgr()).all()


def test_only_what_the_stage_set_comes_back():
    item = replace(photo(), detections=FOUND)
    entries, parts = pack_results([item], [replace(item, drawn=picture(1))], None)
    assert entries[0].detections is None
    [got] = merge([item], entries, flat(parts))
    assert got.detections is FOUND
    assert got.frame is item.frame


@pytest.mark.parametrize("rows", [2, 1, 0])
def test_nothing_that_comes_back_is_a_view_of_what_came(rows):
    item = photo()
    entries, parts = pack_results([item], [replace(item, detections=FOUND[:rows], drawn=picture(1))], None)
    came = [part.copy() for part in flat(parts)]
    [got] = merge([item], entries, came)
    for part in came:
        part[:] = 0
    assert (got.drawn == picture(1)).all()
    assert (got.detections.boxes == FOUND.boxes[:rows]).all()
    assert (got.detections.scores == FOUND.scores[:rows]).all()
    assert (got.detections.classes == FOUND.classes[:rows]).all()


def test_jpeg_is_smaller_and_nearly_the_same(decoded):
    entries, parts = pack(decoded[:1], 90)
    _, raw = pack(decoded[:1], None)
    assert sum(p.nbytes for p in parts) < sum(p.nbytes for p in raw)
    [item] = unpack(entries, flat(parts))
    assert abs(item.frame.picture.bgr() - decoded[0].frame.picture.bgr().astype(int)).mean() < 3
    [done] = back(decoded[:1], [replace(decoded[0], drawn=picture(2))], 90)
    assert abs(done.drawn - picture(2).astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (lambda items: items[:1], "gave 1 items for 2"),
        (lambda items: [items[0], items[0]], "gave 2 items for 2"),
        (lambda items: [replace(items[0], drawn=np.zeros((4, 4), np.uint8)), items[1]], r"drew uint8 \(4, 4\)"),
        (lambda items: [replace(items[0], drawn=np.zeros((4, 4, 3))), items[1]], "drew float64"),
    ],
)
def test_a_stage_that_gives_back_something_else_is_told(decoded, done, why):
    with pytest.raises(StageError, match=why):
        pack_results(decoded[:2], done(decoded[:2]), None)


def work_of(decoded):
    items = [replace(decoded[0], detections=FOUND), replace(photo(file="x"), drawn=picture(1))]
    entries, parts = pack(items, None)
    return Work(9, entries), flat(parts)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda parts: parts[:-1], "a part is missing"),
        (lambda parts: [*parts, parts[0]], "no entry names"),
        (lambda parts: parts[1:], "a part of"),
        (lambda parts: [parts[0][:-1], *parts[1:]], "a part of"),
        (lambda parts: [], "a part is missing"),
    ],
)
def test_parts_that_do_not_fit_are_refused(decoded, change, why):
    work, parts = work_of(decoded)
    with pytest.raises(Malformed, match=why):
        unpack(work.items, change(parts))


HEADERS = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"kind": "\xff"}',
    "deep": b"[" * 100_000,
    "a long number": b'{"kind": "work", "id": ' + b"1" * 100_000 + b"}",
    "a list": b"[]",
    "no kind": b'{"schema": 1}',
    "another kind": b'{"kind": "shell", "schema": 1}',
    "one word too many": b'{"kind": "ping", "schema": 1, "x": 1}',
    "text for a number": b'{"kind": "failed", "id": "1", "why": "", "schema": 1}',
    "truth for a number": b'{"kind": "failed", "id": true, "why": "", "schema": 1}',
    "a negative id": b'{"kind": "failed", "id": -1, "why": "", "schema": 1}',
    "no number": b'{"kind": "welcome", "workers": NaN, "schema": 1}',
    "no text": b'{"kind": "refused", "why": "%ff", "schema": 1}',
    "a long text": b'{"kind": "refused", "why": "' + b"x" * 70_000 + b'", "schema": 1}',
    "no items": b'{"kind": "work", "id": 1, "items": [], "schema": 1}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_is_no_message_is_refused_in_a_short_line(header):
    with pytest.raises(Malformed) as caught:
        decode(header)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def picture_entry(decoded, **changes):
    work, parts = work_of(decoded)
    entry = replace(work.items[0].picture, **changes)
    return [replace(work.items[0], picture=entry), work.items[1]], parts


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "yuv444p"},
        {"format": "vaapi"},
        {"format": "nosuch"},
        {"width": 128},
        {"width": 62},
        {"height": 47},
        {"width": 32_768, "height": 32_768},
        {"colorspace": 3},
        {"shapes": ((48, 64), (24, 32))},
        {"shapes": ((24, 128), (24, 32), (24, 32))},
        {"shapes": ((32_768, 1 << 60), (24, 32), (24, 32))},
    ],
)
def test_pictures_that_cannot_be_are_refused(decoded, changes):
    entries, parts = picture_entry(decoded, **changes)
    with pytest.raises(Malformed):
        unpack(entries, parts)


def test_detections_that_cannot_be_are_refused():
    item = photo()
    entries, parts = pack_results([item], [replace(item, detections=FOUND)], None)
    [few] = [replace(e, detections=replace(e.detections, labels=("one",))) for e in entries]
    with pytest.raises(Malformed, match="a class is outside"):
        merge([item], [few], flat(parts))
    [many] = [replace(e, detections=replace(e.detections, count=99_999)) for e in entries]
    with pytest.raises(Malformed, match="a part of"):
        merge([item], [many], flat(parts))
    with pytest.raises(Malformed, match="1 results for 2 items"):
        merge([item, item], entries, flat(parts))


def test_a_hundred_thousand_mutations_are_refused_or_make_sense(decoded):
    items = [decoded[0], replace(photo(), detections=FOUND)]
    work, sent = work_of(decoded)
    jpegs, pixels = pack(decoded[:1], 80)
    results, found = pack_results(items, [replace(i, detections=FOUND, drawn=picture(4)) for i in items], None)
    real = [
        (Work(7, work.items), sent),
        (Work(8, jpegs, quality=80), flat(pixels)),
        (Done(9, results), flat(found)),
        (Word("ping"), []),
    ]
    messages = [[encode(message), *(part.tobytes() for part in parts)] for message, parts in real]
    refused = made = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for header, *rest in mutations(messages, 100_000, seed=11):
        parts = [np.frombuffer(part, np.uint8) for part in rest]
        try:
            message = decode(header)
            if isinstance(message, Work):
                for item in unpack(message.items, parts):
                    item.frame.picture.scaled(8, 6)
            elif isinstance(message, Done):
                merge(items, message.results, parts)
            made += 1
        except Malformed:
            refused += 1
    assert refused > 50_000
    assert made > 5_000  # some changes do no harm: another name, other pixels
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB
