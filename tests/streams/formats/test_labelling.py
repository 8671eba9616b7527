"""What CVAT and Label Studio are given, read as their documentation says: boxes, masks, and when a track is to be seen.

(Datumaro 1.13 and Label Studio's SDK 2.1 read these files as well; they need another OpenCV, and are not installed.)
"""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from saved_events import LABELS, SIZE, found, parts, write_events

from watchline.ops.masks import Masks
from watchline.streams.errors import EventsRefused
from watchline.streams.events.lines import files_in
from watchline.streams.formats.convert import convert

CAR, PERSON, KITE = (1, 0.9, 1, 2, 30, 40.5), (0, 0.5, 50.25, 2, 60, 70), (2, 0.4, 100, 10, 140, 30)


@pytest.fixture
def out(tmp_path):
    """Every second frame of a video: a person who is there once, a car that is hidden in between; and photos."""
    bus = (0, *CAR[1:])  # what the car is taken for once
    frames = [
        parts(found(KITE, tracks=[-1])),
        parts(found(CAR, PERSON, tracks=[7, 8])),
        parts(found(CAR, tracks=[7])),
        parts(found()),
        parts(found(bus, tracks=[7])),
    ]
    write_events(tmp_path / "A" / "clip.jsonl", "A/clip", frames, source="A/a clip.mp4", every=2)
    photos = [parts(found(KITE, PERSON)), parts(found())]
    write_events(tmp_path / "photos.jsonl", "photos", photos, photos=["a.jpg", "day/b.png"], source="photos")
    return tmp_path


def converted(out, name):
    [written] = convert(files_in(out), [name], out, overwrite=False)
    return list(written.notes)


def test_cvat_sees_the_boxes_of_photos(out):
    assert converted(out, "cvat") == []
    root = ElementTree.parse(out / "cvat" / "photos.xml").getroot()
    assert (root.tag, root.findtext("version"), root.findtext("meta/task/mode")) == ("annotations", "1.1", "annotation")
    assert [label.text for label in root.findall("meta/task/labels/label/name")] == list(LABELS)
    width, height = map(str, SIZE)
    images = [(one.get("id"), one.get("name"), one.get("width"), one.get("height")) for one in root.findall("image")]
    assert images == [("0", "a.jpg", width, height), ("1", "day/b.png", width, height)]
    assert [boxes_of(image) for image in root.findall("image")] == [
        [("kite", 0.4, 100, 10, 140, 30), ("person", 0.5, 50.25, 2, 60, 70)],
        [],
    ]


def boxes_of(image):
    return [
        (
            box.get("label"),
            float(box.findtext("attribute[@name='score']")),
            *(float(box.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")),
        )
        for box in image.findall("box")
    ]


def test_cvat_sees_when_a_track_is_there_and_what_it_mostly_is(out):
    converted(out, "cvat")
    root = ElementTree.parse(out / "cvat" / "A" / "clip.xml").getroot()
    assert root.findtext("meta/task/mode") == "interpolation"
    assert int(root.findtext("meta/task/size")) == 9
    assert [int(root.findtext(f"meta/task/original_size/{side}")) for side in ("width", "height")] == list(SIZE)
    tracks = {track.get("label"): track.findall("box") for track in root.findall("track")}
    seen = {label: [(int(box.get("frame")), box.get("outside")) for box in boxes] for label, boxes in tracks.items()}
    assert seen == {"car": [(2, "0"), (4, "0"), (6, "1"), (8, "0")], "person": [(2, "0"), (4, "1")]}
    assert all(box.get("keyframe") == "1" for boxes in tracks.values() for box in boxes)
    assert [float(tracks["person"][0].get(side)) for side in ("xtl", "ytl", "xbr", "ybr")] == [50.25, 2, 60, 70]


def test_cvat_sees_masks(tmp_path):
    rng = np.random.default_rng(0)
    planes = np.zeros((3, SIZE[1], SIZE[0]), np.bool_)
    planes[0, 5:20, 3:29], planes[1, 10:60, 51:58] = rng.random((15, 26)) < 0.5, True
    write_events(tmp_path / "a.jsonl", "a", [parts(found(CAR, PERSON, KITE, masks=Masks.of(planes)))], photos=["a.jpg"])
    converted(tmp_path, "cvat")
    masks = ElementTree.parse(tmp_path / "cvat" / "a.xml").findall("image/mask")
    assert [mask.get("label") for mask in masks] == ["car", "person", "kite"]
    for mask, plane in zip(masks, planes, strict=True):
        left, top, width, height = (int(mask.get(name)) for name in ("left", "top", "width", "height"))
        runs = [int(run) for run in mask.get("rle").split(",") if run.strip()]
        read = np.zeros_like(plane)
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        read[top : top + height, left : left + width] = pixels.reshape(height, width)
        np.testing.assert_array_equal(read, plane)


def test_names_cannot_break_the_xml(tmp_path):
    names = ['a "<&>.jpg', "b\x07\x1b[2J￾.jpg"]
    write_events(tmp_path / "a.jsonl", "a", [parts(found(CAR))] * 2, photos=names)
    converted(tmp_path, "cvat")
    root = ElementTree.parse(tmp_path / "cvat" / "a.xml").getroot()
    assert [one.get("name") for one in root.findall("image")] == [names[0], "b\\u0007\\u001b[2J\ufffd.jpg"]


def test_label_studio_sees_the_boxes_of_photos(out):
    assert converted(out, "labelstudio") == []
    first, second = json.loads((out / "labelstudio" / "photos.json").read_text())
    assert [task["data"]["image"] for task in (first, second)] == [
        "/data/local-files/?d=a.jpg",
        "/data/local-files/?d=day/b.png",
    ]
    [prediction] = first["predictions"]
    assert prediction["model_version"] == "tiny"
    rows = [(*one["value"]["rectanglelabels"], one["score"], *in_pixels(one["value"])) for one in prediction["result"]]
    assert rows == [("kite", 0.4, 100, 10, 128, 30), ("person", 0.5, 50.25, 2, 60, 70)]
    assert {(one["original_width"], one["original_height"]) for one in prediction["result"]} == {SIZE}
    assert len({one["id"] for one in prediction["result"]}) == 2
    assert second["predictions"][0]["result"] == []
    assert_names_fit(out / "labelstudio" / "photos.xml", prediction["result"], "RectangleLabels")


def in_pixels(value):
    x, y, width, height = (value[name] for name in ("x", "y", "width", "height"))
    shares = np.array([x, y, x + width, y + height]) / 100
    return np.round(shares * [*SIZE, *SIZE], 4).tolist()


def assert_names_fit(interface, results, kind):
    """The names of results are those of the project's labelling interface, and so are the labels."""
    root = ElementTree.parse(interface).getroot()
    names = {tag.get("name"): tag for tag in root}
    for result in results:
        assert names[result["from_name"]].get("toName") == result["to_name"]
        assert names[result["to_name"]].get("value") in ("$image", "$video")
    assert [label.get("value") for label in root.findall(f"{kind}/Label")] == list(LABELS)


def test_label_studio_sees_when_a_track_is_there(out):
    converted(out, "labelstudio")
    [task] = json.loads((out / "labelstudio" / "videos.json").read_text())
    assert task["data"] == {"video": "/data/local-files/?d=A/a%20clip.mp4", "fps": 10.0}
    [prediction] = task["predictions"]
    seen = {
        result["value"]["labels"][0]: [
            (one["frame"], one["time"], one["enabled"]) for one in result["value"]["sequence"]
        ]
        for result in prediction["result"]
    }
    assert seen == {"car": [(3, 0.2, True), (5, 0.4, False), (9, 0.8, False)], "person": [(3, 0.2, False)]}
    assert in_pixels(prediction["result"][1]["value"]["sequence"][0]) == list(PERSON[2:])
    assert [result["value"]["framesCount"] for result in prediction["result"]] == [9, 9]
    assert_names_fit(out / "labelstudio" / "videos.xml", prediction["result"], "Labels")


@pytest.mark.parametrize("name", ["cvat", "labelstudio"])
def test_a_camera_has_no_file_whose_frames_could_be_meant(out, name):
    write_events(out / "gate-1.jsonl", "gate", [parts(found(CAR))], epochs=[0])
    assert converted(out, name) == ["gate is of a camera, whose frames are in no file by their number: left out"]
    with pytest.raises(EventsRefused, match="gate is of a camera: expected photos or videos"):
        list(convert([out / "gate-1.jsonl"], [name], out / "new", overwrite=False))


@pytest.mark.parametrize("name", ["cvat", "labelstudio"])
def test_without_tracks_each_detection_is_one_of_a_frame(tmp_path, name):
    write_events(tmp_path / "a.jsonl", "a", [parts(found(CAR, PERSON)), parts(found(CAR))])
    converted(tmp_path, name)
    if name == "cvat":
        tracks = ElementTree.parse(tmp_path / "cvat" / "a.xml").findall("track")
        frames = [[(int(box.get("frame")), box.get("outside")) for box in track] for track in tracks]
        assert frames == [[(0, "0"), (1, "1")], [(0, "0"), (1, "1")], [(1, "0")]]
    else:
        [task] = json.loads((tmp_path / "labelstudio" / "videos.json").read_text())
        sequences = [result["value"]["sequence"] for result in task["predictions"][0]["result"]]
        assert [[(one["frame"], one["enabled"]) for one in one] for one in sequences] == [
            [(1, False)],
            [(1, False)],
            [(2, False)],
        ]
