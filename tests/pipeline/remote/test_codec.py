import json
import resource
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from clips import picture, write_clip
from mutations import mutations
from own_stages import TALLY, Tally

from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.detections import COLUMNS, DETECTIONS
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.pipeline.remote.codec import (
    merge,
    pack,
    pack_about,
    pack_events,
    pack_results,
    unpack,
    unpack_about,
    unpack_events,
)
from watchline.pipeline.remote.protocol import (
    DTYPES,
    Course,
    Done,
    Heard,
    Malformed,
    OtherVersion,
    Signal,
    WorkRequest,
    decode,
    encode,
)
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About

FOUND = Detections(
    np.array([[1.5, 2, 30, 40], [0, 0, 5, 5]], np.float32),
    np.array([0.9, 0.25], np.float32),
    np.array([1, 0], np.int64),
    ("person", "Fahrrad größer", "100 %"),
)
MORE = replace(
    FOUND,
    tracker_id=np.array([7, -1], np.int64),
    masks=Masks.of(np.arange(2 * 6 * 5).reshape(2, 6, 5) % 3 == 0),
    data={"speed": np.array([0.5, np.nan]), "größe": np.array([[1, 2], [3, 4]], np.uint16)},
)
KINDS = {kind.key: kind for kind in (DETECTIONS, DRAWN, TALLY)}


def photo(**changes):
    pixels = picture(0).copy()
    return Item(Frame("photos", 5, -7, Fraction(1, 90_000), ArrayPicture(pixels), **changes))


def tally():
    return Tally(("gate", None, "\ud800"), 3, np.arange(3), np.array([[1, 2.5], [2, np.nan]], np.float32), 1, 7)


def having(item, found=FOUND, drawn=None):
    """The item with results."""
    item = item if found is None else item.with_result(DETECTIONS, found)
    return item if drawn is None else item.with_result(DRAWN, drawn)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    clip = write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", 3)
    with FileSource(clip).open() as reader:
        return [Item(frame) for i, frame in enumerate(reader)]


def flat(parts):
    """As they come from a socket."""
    return [np.frombuffer(np.ascontiguousarray(part).tobytes(), np.uint8) for part in parts]


def there(items, quality=None, kinds=KINDS):
    entries, parts = pack(items, quality)
    work = decode(encode(WorkRequest(1, entries, quality)))
    return unpack(work.items, flat(parts), kinds)


def back(items, done, quality=None, kinds=KINDS):
    entries, parts = pack_results(items, done, quality)
    return merge(items, decode(encode(Done(1, entries))).results, flat(parts), kinds)


def same(a, b):
    """Whether two arrays are equal, to the last byte and type."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


def test_an_item_of_a_video_crosses_with_all_that_a_stage_may_look_at(decoded):
    for here, item in zip(decoded, there(decoded), strict=True):
        assert (item.results, item.events, item.deadline) == ({}, (), None)
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


def test_events_cross_in_both_directions_and_only_new_ones_come_back():
    data = {"box": [1, 2.5], "who": "\ud800", "more": {"a": None}}
    item = photo().with_event("before", **data)
    [got] = there([item])
    assert got.events == item.events == (Event("before", data),)
    after = got.with_event("seen", n=1).with_event("seen")
    entries, _ = pack_results([got], [after], None)
    assert [event.name for event in entries[0].events] == ["seen", "seen"]
    [done] = back([item], [item.with_event("seen", n=1).with_event("seen")])
    assert done.events == (Event("before", data), Event("seen", {"n": 1}), Event("seen", {}))


def test_so_many_events_may_be_said_of_a_frame():
    item = photo()
    many = replace(item, events=(Event("seen"),) * 1000)
    [done] = back([item], [many])
    assert done.events == many.events
    with pytest.raises(StageError, match="1001 events at once: expected at most 1000"):
        pack_results([item], [many.with_event("seen")], None)


@pytest.mark.parametrize("found", [FOUND, MORE, MORE[:0]])
def test_detections_and_what_is_drawn_cross_in_both_directions(found):
    drawn = picture(5)
    item = having(photo(), found, drawn)
    [got] = there([item])
    [again] = back([photo()], [item])
    for one in (got, again):
        same(one.drawn, drawn)
        assert one.detections.labels == found.labels
        assert list(one.detections.data) == list(found.data)
        for column in COLUMNS:
            a, b = getattr(one.detections, column), getattr(found, column)
            assert (a is None) == (b is None)
            if a is not None:
                same(a, b)
        for name in found.data:
            same(one.detections.data[name], found.data[name])
    assert (got.frame.picture.bgr() == item.frame.picture.bgr()).all()


def test_only_what_the_stage_set_comes_back():
    item = having(photo())
    entries, parts = pack_results([item], [having(item, None, picture(1))], None)
    assert [result.key for result in entries[0].results] == ["drawn"]
    assert (entries[0].events, entries[0].picture) == ((), None)
    [got] = merge([item], entries, flat(parts), KINDS)
    assert got.detections is FOUND
    assert got.frame is item.frame


def test_a_result_may_take_the_place_of_another():
    item = having(photo())
    [got] = back([item], [having(item, FOUND[1:])])
    same(got.detections.xyxy, FOUND.xyxy[1:])


@pytest.mark.parametrize("rows", [2, 1, 0])
def test_nothing_that_comes_back_is_a_view_of_what_came(rows):
    item = photo()
    entries, parts = pack_results([item], [having(item, FOUND[:rows], picture(1))], None)
    came = [part.copy() for part in flat(parts)]
    [got] = merge([item], entries, came, KINDS)
    for part in came:
        part[:] = 0
    assert (got.drawn == picture(1)).all()
    assert (got.detections.xyxy == FOUND.xyxy[:rows]).all()
    assert (got.detections.confidence == FOUND.confidence[:rows]).all()
    assert (got.detections.class_id == FOUND.class_id[:rows]).all()


def test_jpeg_is_smaller_and_nearly_the_same(decoded):
    entries, parts = pack(decoded[:1], 90)
    _, raw = pack(decoded[:1], None)
    assert sum(p.nbytes for p in parts) < sum(p.nbytes for p in raw)
    [item] = unpack(entries, flat(parts), KINDS)
    assert abs(item.frame.picture.bgr() - decoded[0].frame.picture.bgr().astype(int)).mean() < 3
    [done] = back(decoded[:1], [having(decoded[0], None, picture(2))], 90)
    assert abs(done.drawn - picture(2).astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("drawn", "why"),
    [(np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"), (np.zeros((4, 4, 3)), r"float64 \(4, 4, 3\)")],
)
def test_a_stage_that_draws_something_else_is_told(decoded, drawn, why):
    why = f"^the result 'drawn' cannot cross: it is {why}: expected uint8"
    with pytest.raises(StageError, match=why):
        pack_results(decoded[:1], [having(decoded[0], None, drawn)], None)


@dataclass(frozen=True)
class Sample:
    """A result of any array and any words."""

    array: np.ndarray | None
    word: Any = None
    length: int = field(init=False, default=0)

    def __post_init__(self):
        object.__setattr__(self, "length", 0 if self.array is None else self.array.size)


SAMPLE = Kind("sample", Sample)
ARRAYS = {
    "0-d": np.array(5),
    "1-d": np.arange(5),
    "2-d": np.arange(6).reshape(2, 3),
    "3-d": np.arange(24).reshape(2, 3, 4),
    "4-d": np.arange(120).reshape(2, 3, 4, 5),
    "empty": np.zeros((3, 0, 2)),
    "empty, 1-d": np.zeros(0),
    "every second": np.arange(40).reshape(4, 10)[::2, 1::2],
    "backwards": np.arange(5)[::-1],
    "turned": np.arange(24).reshape(2, 3, 4).T,
    "one value": np.broadcast_to(np.array(7), (3, 4)),
}


def crossed(result):
    """The result after it has crossed as what was found before, and as what was found there."""
    kinds, item = {"sample": SAMPLE}, photo().with_result(SAMPLE, result)
    [got] = there([item], kinds=kinds)
    [again] = back([photo()], [item], kinds=kinds)
    return got.result(SAMPLE), again.result(SAMPLE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_every_type_cross_unchanged(dtype, array, order):
    here = array.astype(np.dtype(dtype).newbyteorder(order))
    for sample in crossed(Sample(here)):
        same(sample.array, here.astype(dtype))
        assert sample.length == here.size


def test_arrays_without_a_copy_are_copied_where_they_are_not_contiguous():
    here = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(4, 6))[1:, ::-2]
    for sample in crossed(Sample(here)):
        same(sample.array, here)
        assert sample.array.flags.c_contiguous


@pytest.mark.parametrize(
    "word", [None, True, -5, 1 << 80, 0.1, "", "\ud800", "%\udcff.jpg", ((1, "a"), ()), {"a": ({"\ud800": (1,)},)}]
)
def test_words_cross_unchanged(word):
    for sample in crossed(Sample(None, word)):
        assert sample.word == word
        assert repr(sample.word) == repr(word)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Sample(np.zeros(3, complex)), r"it has an array complex128 \(3,\): expected booleans, integers or floats"),
        (Sample(np.zeros(3, "U5")), r"it has an array <U5 \(3,\)"),
        (Sample(np.array([{}, {}])), r"it has an array object \(2,\)"),
        (Sample(np.zeros(3, "datetime64[s]")), r"it has an array datetime64\[s\] \(3,\)"),
        (Sample(np.zeros(3, np.longdouble)), r"it has an array float\d+ \(3,\)"),
        (Sample(np.zeros((1, 1, 1, 1, 1))), r"it has an array float64 \(1, 1, 1, 1, 1\): .* in at most 4 axes"),
        (Sample(None, [1]), "its word is of type list: expected arrays and finite JSON values, with tuples"),
        (Sample(None, ((1, [2]),)), "its word is of type tuple"),
        (Sample(None, {1: 2}), "its word is of type dict"),
        (Sample(None, {1, 2}), "its word is of type set"),
        (Sample(None, np.int64(3)), "its word is of type int64"),
        (Sample(None, float("nan")), "its word is of type float"),
        (Sample(None, FOUND), "its word is of type Detections"),
        (3, "it is of type int: expected a dataclass, or a kind with pack and unpack"),
    ],
)
def test_what_cannot_cross_is_said_with_the_result_and_what_may(result, why):
    with pytest.raises(StageError, match=f"^the result 'sample' cannot cross: {why}"):
        pack_results([photo()], [photo().with_result(SAMPLE, result)], None)


def test_a_result_has_so_many_arrays_at_most():
    many = Kind("many", list, pack=lambda arrays: (None, tuple(arrays)), unpack=lambda value, arrays: list(arrays))
    [got] = there([photo().with_result(many, [np.arange(3)] * 16)], kinds={"many": many})
    assert len(got.result(many)) == 16
    with pytest.raises(StageError, match="'many' cannot cross: it has 17 arrays: expected at most 16"):
        pack_results([photo()], [photo().with_result(many, [np.arange(3)] * 17)], None)


@pytest.mark.parametrize("shape", [(0, 1 << 62), (1 << 62, 0, 1 << 62), (0, (1 << 63) - 1)])
def test_shapes_of_nothing_that_numpy_does_not_allow_are_refused(shape):
    item = photo()
    [entry], parts = pack_results([item], [item.with_result(SAMPLE, Sample(np.zeros(0)))], None)
    wrong = replace(entry, results=(changed(entry.results[0], shapes=[shape]),))
    with pytest.raises(Malformed, match="a shape that is too large"):
        merge([item], [wrong], flat(parts), {"sample": SAMPLE})


def work_of(decoded):
    items = [having(decoded[0]), having(photo(file="x"), None, picture(1))]
    entries, parts = pack(items, None)
    return WorkRequest(9, entries), flat(parts)


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
        unpack(work.items, change(parts), KINDS)


HEADERS = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"kind": "\xff"}',
    "deep": b"[" * 100_000,
    "a long number": b'{"kind": "work", "id": ' + b"1" * 100_000 + b"}",
    "a list": b"[]",
    "no kind": b'{"schema": 3}',
    "another kind": b'{"kind": "shell", "schema": 3}',
    "one word too many": b'{"kind": "ping", "schema": 3, "x": 1}',
    "text for a number": b'{"kind": "failed", "id": "1", "why": "", "schema": 3}',
    "truth for a number": b'{"kind": "failed", "id": true, "why": "", "schema": 3}',
    "a negative id": b'{"kind": "failed", "id": -1, "why": "", "schema": 3}',
    "no number": b'{"kind": "welcome", "workers": NaN, "about": "{}", "schema": 3}',
    "no text": b'{"kind": "refused", "why": "%ff", "schema": 3}',
    "a long text": b'{"kind": "refused", "why": "' + b"x" * 70_000 + b'", "schema": 3}',
    "no items": b'{"kind": "work", "id": 1, "items": [], "schema": 3}',
    "JSON that is not a text": b'{"kind": "welcome", "workers": 1, "about": {}, "schema": 3}',
    "a text that is not JSON": b'{"kind": "welcome", "workers": 1, "about": "{", "schema": 3}',
    "NaN in JSON": b'{"kind": "welcome", "workers": 1, "about": "[NaN]", "schema": 3}',
    "deep JSON": b'{"kind": "welcome", "workers": 1, "about": "' + b"[" * 100_000 + b'", "schema": 3}',
    "a long number in JSON": b'{"kind": "welcome", "workers": 1, "about": "' + b"1" * 100_000 + b'", "schema": 3}',
}


def test_the_headers_differ_from_a_message_in_one_thing():
    assert decode(b'{"kind": "welcome", "workers": 1, "about": "{}", "schema": 3}')
    assert decode(b'{"kind": "failed", "id": 1, "why": "", "schema": 3}')
    assert decode(b'{"kind": "ping", "schema": 3}')


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_is_not_a_message_is_refused_in_a_short_line(header):
    with pytest.raises(Malformed) as caught:
        decode(header)
    assert not isinstance(caught.value, OtherVersion)
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
        unpack(entries, parts, KINDS)


def changed(result, **changes):
    """The entry of a result with another value, or with other arrays."""
    value = {**result.value, **{key: new for key, new in changes.items() if key != "shapes"}}
    shapes = changes.get("shapes", [array.shape for array in result.arrays])
    arrays = [replace(array, shape=shape) for array, shape in zip(result.arrays, shapes, strict=True)]
    return replace(result, value=value, arrays=tuple(arrays))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": ["one"]}, "class_id has 1: expected"),
        ({"labels": "one"}, "expected labels, columns and masks"),
        ({"labels": [1, 2, 3]}, "expected the columns"),
        ({"columns": ["xyxy", "confidence"]}, "expected the columns"),
        ({"columns": ["xyxy", "confidence", "tracker_id"]}, "expected the columns"),
        ({"columns": ["xyxy", "confidence", "class_id", "__class__"]}, "expected the columns"),
        ({"data": ["speed"]}, "expected the columns"),
        ({"shapes": [(99_999, 4), (2,), (2,)]}, "a part of"),
        ({"shapes": [(4, 2), (2,), (2,)]}, r"xyxy is float32 \(4, 2\): expected"),
        ({"shapes": [(2, 4), (2,), (1, 2)]}, r"class_id is int64 \(1, 2\): expected"),
        ({"shapes": [(2, 4), (2,), (2, 1 << 62, 1 << 62, 1 << 62)]}, "a part of"),
    ],
)
def test_detections_that_cannot_be_are_refused(changes, why):
    item = photo()
    [entry], parts = pack_results([item], [having(item)], None)
    wrong = replace(entry, results=(changed(entry.results[0], **changes),))
    with pytest.raises(Malformed, match=why):
        merge([item], [wrong], flat(parts), KINDS)


def test_more_detections_than_a_picture_has_are_refused():
    item, count = photo(), 100_001
    many = Detections(np.zeros((count, 4), np.float32), np.zeros(count, np.float32), np.zeros(count, int), ("a",))
    entries, parts = pack_results([item], [having(item, many)], None)
    with pytest.raises(Malformed, match="at most 100000 detections"):
        merge([item], entries, flat(parts), KINDS)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"masks": [6]}, "expected the height and the width"),
        ({"masks": "6 x 5"}, "expected the height and the width"),
        ({"masks": [6, 0]}, "masks of a picture of 6 x 0"),
        ({"masks": [5, 5]}, "a crop outside of the picture"),
        ({"masks": [6, 1 << 40]}, "masks of a picture of"),
        ({"masks": None}, "expected the columns"),
        ({"extent": np.zeros((1, 4), np.int32)}, "expected the crops of 2 masks"),
        ({"extent": np.zeros((2, 4), np.int64)}, "expected the crops of 2 masks"),
        ({"extent": np.array([[0, 0, 5, 6], [0, 0, 5, 7]], np.int32)}, "expected the bits of masks"),
        ({"extent": np.array([[0, 0, 65_535, 65_535]] * 2, np.int32)}, "expected the bits of masks"),
        ({"extent": np.array([[-(2**31), -(2**31), 2**31 - 1, 2**31 - 1]] * 2, np.int32)}, "expected the bits"),
        ({"bits": np.zeros(7, np.uint8)}, "expected the bits of masks"),
        ({"bits": np.zeros((8, 1), np.uint8)}, "expected the crops of 2 masks"),
        ({"bits": np.zeros(8, np.int8)}, "expected the crops of 2 masks"),
    ],
)
def test_masks_that_cannot_be_are_refused(changes, why):
    value, arrays = DETECTIONS.packed(MORE)
    *columns, extent, bits = arrays
    assert len(bits) == 8
    wrong = (*columns, changes.get("extent", extent), changes.get("bits", bits))
    with pytest.raises(ValueError, match=why):
        DETECTIONS.unpacked({**value, "masks": changes.get("masks", value["masks"])}, wrong)


def test_masks_cross_as_bits():
    planes = np.zeros((20, 720, 1280), bool)
    planes[:, 100:300, 200:300] = True
    found = Detections(np.ones((20, 4)), np.ones(20), np.zeros(20, int), ("a",), masks=Masks.of(planes))
    assert sum(array.nbytes for array in DETECTIONS.packed(found)[1]) < 55_000
    np.testing.assert_array_equal(DETECTIONS.unpacked(*DETECTIONS.packed(found)).mask, planes)


def test_results_that_were_not_declared_are_refused():
    item = photo()
    entries, parts = pack_results([item], [having(item)], None)
    with pytest.raises(Malformed, match="the result 'detections': expected one of drawn, once"):
        merge([item], entries, flat(parts), {"drawn": DRAWN})
    twice = replace(entries[0], results=entries[0].results * 2)
    with pytest.raises(Malformed, match=r"the result 'detections': expected one of .*, once"):
        merge([item], [twice], flat(parts * 2), KINDS)
    with pytest.raises(Malformed, match="1 results for 2 items"):
        merge([item, item], entries, flat(parts), KINDS)


def test_twenty_thousand_mutations_are_refused_or_make_sense(decoded):
    items = [decoded[0], having(photo(), MORE).with_result(TALLY, tally()).with_event("before", n=1)]
    work, sent = work_of(decoded)
    jpegs, pixels = pack(decoded[:1], 80)
    blurred = replace(items[0], frame=replace(items[0].frame, picture=ArrayPicture(picture(7))))
    done = [having(blurred, FOUND, picture(4)).with_event("seen", box=[1, 2.5]), items[1].with_result(TALLY, tally())]
    results, found = pack_results(items, done, None)
    more, columns = pack(items[1:], None)
    about = About("a.mp4", 64, 48, Fraction(1, 90_000), Fraction(30_000, 1001), 7, "h264")
    real = [
        (WorkRequest(7, work.items), sent),
        (WorkRequest(8, jpegs, quality=80), flat(pixels)),
        (WorkRequest(9, more), flat(columns)),
        (Done(9, results), flat(found)),
        (Course(10, "gate", pack_about(about), 3), []),
        (Heard(10, pack_events([Event("over", {"frames": 3})])), []),
        (Signal("ping"), []),
    ]
    messages = [[encode(message), *(part.tobytes() for part in parts)] for message, parts in real]
    refused = made = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for header, *rest in mutations(messages, 20_000, seed=11):
        parts = [np.frombuffer(part, np.uint8) for part in rest]
        try:
            match decode(header):
                case WorkRequest(items=entries):
                    for item in unpack(entries, parts, KINDS):
                        item.frame.picture.scaled(8, 6)
                case Done(results=entries):
                    merge(items, entries, parts, KINDS)
                case Course(about=entry) if entry is not None:
                    unpack_about(entry)
                case Heard(events=entries):
                    unpack_events(entries)
            made += 1
        except Malformed:
            refused += 1
    assert refused > 10_000
    assert made > 1_000  # some changes do no harm: another name, other pixels
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


@pytest.mark.parametrize(("kind", "result"), [(DETECTIONS, MORE), (TALLY, tally())], ids=["ours", "your own"])
def test_ten_thousand_mutations_of_a_result_are_refused_or_make_sense(kind, result):
    """Those of its JSON value, which is a text to the header, and of its arrays."""
    value, arrays = kind.packed(result)
    real = [json.dumps(value).encode(), *(array.tobytes() for array in arrays)]
    refused = made = 0
    for text, *parts in mutations([real], 10_000, seed=4):
        try:
            mutated = json.loads(text)
            sized = [np.frombuffer(p, a.dtype) for a, p in zip(arrays, parts, strict=True)]
            shaped = tuple(s.reshape(a.shape) if s.size == a.size else s for s, a in zip(sized, arrays, strict=True))
            assert isinstance(kind.unpacked(mutated, shaped), kind.type)
            made += 1
        except ValueError:
            refused += 1
    assert refused > 3_000
    assert made > 500
