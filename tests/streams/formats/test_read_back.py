"""Each format is read by the programs that it is for, and by our own readers of labelled pictures: nothing is lost."""

import contextlib
import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pandas
import pytest
import supervision
from pyarrow import parquet
from pycocotools.coco import COCO
from saved_events import LABELS, SIZE, found, parts, write_events

import watchline
from watchline.measure.layouts import mot
from watchline.measure.layouts.known import open_data
from watchline.ops.masks import Masks
from watchline.streams.events import table
from watchline.streams.events.lines import files_in
from watchline.streams.events.table import COLUMNS
from watchline.streams.formats.convert import convert

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
CAR, PERSON, KITE = (1, 0.9, 1, 2, 30, 40.5), (0, 0.5, 50.25, 2, 60, 70), (2, 0.4, 100, 10, 140, 30)  # beyond the edge
FOUND = {  # by picture
    "A/clip/000000.jpg": [],
    "A/clip/000002.jpg": [CAR, PERSON],
    "A/clip/000004.jpg": [CAR],
    "a.b.jpg": [KITE],
    "day/b.png": [PERSON],
}


@pytest.fixture
def out(tmp_path):
    """Every second frame of a video that is tracked, and photos, one of them in a folder."""
    zones = {"zones": {"yard": [7], "door": [7]}, "speeds": [{"track": 7, "kmh": 31.5}]}
    frames = [parts(found()), parts(found(CAR, PERSON, tracks=[7, -1]), **zones), parts(found(CAR, tracks=[7]))]
    write_events(tmp_path / "A" / "clip.jsonl", "A/clip", frames, source="A/clip.mp4", every=2)
    photos = [parts(found(KITE)), parts(found(PERSON))]
    write_events(tmp_path / "photos.jsonl", "photos", photos, photos=["a.b.jpg", "day/b.png"], source="photos")
    return tmp_path


def converted(out: Path, name: str) -> list[str]:
    """Returns the notes."""
    [written] = convert(files_in(out), [name], out, overwrite=False)
    assert all(path.exists() for path in written.paths)
    return list(written.notes)


def with_pictures(folder: Path) -> Path:
    """The pictures that labels are for, as a user puts them there."""
    for name in FOUND:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / name), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return folder


def seen(rows, is_cut=False):
    """Labels and boxes as they must come back. Args: is_cut, at the edges of the picture."""
    most = [*SIZE, *SIZE] if is_cut else [np.inf] * 4
    return [(LABELS[kind], *np.minimum(box, most).tolist()) for kind, _, *box in rows]


def test_our_reader_of_coco(out):
    converted(out, "coco")
    pictures = list(open_data(with_pictures(out / "coco")).read())
    assert [one.name for one in pictures] == [name.rsplit(".", 1)[0] for name in FOUND]
    read = [[(name, *box) for name, box in zip(one.names, one.boxes.tolist(), strict=True)] for one in pictures]
    assert read == [seen(rows) for rows in FOUND.values()]


def test_pycocotools(out):
    converted(out, "coco")
    coco = loaded(out)
    names = {image["id"]: image["file_name"] for image in coco.loadImgs(coco.getImgIds())}
    assert [*names.values()] == [*FOUND]
    assert [(one["id"], one["name"]) for one in coco.loadCats(coco.getCatIds())] == [*enumerate(LABELS, 1)]
    for number, name in names.items():
        one = coco.loadAnns(coco.getAnnIds(number))
        rows = [(row["category_id"] - 1, row["score"], *row["bbox"]) for row in one]
        assert rows == [(kind, score, x1, y1, x2 - x1, y2 - y1) for kind, score, x1, y1, x2, y2 in FOUND[name]]
        assert [row["area"] for row in one] == [(x2 - x1) * (y2 - y1) for _, _, x1, y1, x2, y2 in FOUND[name]]
    assert [row.get("track_id") for row in coco.dataset["annotations"]] == [7, None, 7, None, None]


def loaded(out: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(out / "coco" / "annotations" / "instances_default.json"))


def test_masks_are_those_that_were_found(tmp_path):
    planes = np.zeros((2, SIZE[1], SIZE[0]), np.bool_)
    planes[0, 5:20, 3:29], planes[1, 10:60, 51:58] = True, True
    masked = parts(found(CAR, PERSON, masks=Masks.of(planes)))
    write_events(tmp_path / "a.jsonl", "a", [masked, parts(found())], photos=["a.jpg", "b.jpg"])
    converted(tmp_path, "coco")
    coco = loaded(tmp_path)
    for annotation, plane in zip(coco.loadAnns(coco.getAnnIds()), planes, strict=True):
        np.testing.assert_array_equal(coco.annToMask(annotation), plane)
        assert annotation["area"] == plane.sum()


def test_supervision_reads_coco_and_yolo(out):
    converted(out, "coco")
    file = out / "coco" / "annotations" / "instances_default.json"
    images = with_pictures(out / "coco") / "images"
    of_coco = supervision.DetectionDataset.from_coco(str(images), str(file))
    assert of_coco.classes == list(LABELS)
    assert boxes_of(of_coco, images) == {name: seen(rows) for name, rows in FOUND.items()}

    converted(out, "yolo")
    folder = with_pictures(out / "yolo")
    flat = out / "flat"  # it takes folders without folders
    for path in (folder / "images").rglob("*.*"):
        for kind in ("images", "labels"):
            (flat / kind).mkdir(parents=True, exist_ok=True)
        name = path.relative_to(folder / "images")
        (flat / "images" / name.name).write_bytes(path.read_bytes())
        text = (folder / "labels" / name).with_suffix(".txt")
        (flat / "labels" / text.name).write_bytes(text.read_bytes())
    of_yolo = supervision.DetectionDataset.from_yolo(
        str(flat / "images"), str(flat / "labels"), str(folder / "data.yaml")
    )
    assert of_yolo.classes == list(LABELS)
    wanted = {Path(name).name: seen(rows, is_cut=True) for name, rows in FOUND.items()}
    assert boxes_of(of_yolo, flat / "images") == wanted


def boxes_of(data, images):
    return {
        Path(path).relative_to(images).as_posix(): [
            (LABELS[kind], *np.round(box, 2).tolist())
            for kind, box in zip(one.class_id, one.xyxy.astype(float), strict=True)
        ]
        for path, _, one in data
    }


def test_our_reader_of_yolo(out):
    converted(out, "yolo")
    pictures = {one.name: one for one in open_data(with_pictures(out / "yolo")).read()}
    assert sorted(pictures) == sorted(name.rsplit(".", 1)[0] for name in FOUND)
    for name, rows in FOUND.items():
        one = pictures[name.rsplit(".", 1)[0]]
        wanted = seen(rows, is_cut=True)
        assert list(one.names) == [label for label, *_ in wanted]
        np.testing.assert_allclose(one.boxes, np.array([box for _, *box in wanted]).reshape(-1, 4), atol=1e-4)


def test_pictures_that_yolo_could_not_tell_from_each_other_are_refused(tmp_path):
    write_events(tmp_path / "a.jsonl", "a", [parts(found())] * 2, photos=["a.jpg", "a.png"])
    with pytest.raises(watchline.WatchlineError, match=r"a\.png is the second picture with the labels a\.txt"):
        converted(tmp_path, "yolo")


def test_our_reader_of_mot(out):
    assert converted(out, "mot") == ["photos is of photos, which MOT's format does not have: left out"]
    rows = np.loadtxt(out / "mot" / "A" / "clip.txt", delimiter=",")
    assert rows.tolist() == [[3, 7, 1, 2, 29, 38.5, 0.9, -1, -1, -1], [5, 7, 1, 2, 29, 38.5, 0.9, -1, -1, -1]]
    (out / "sequence" / "gt").mkdir(parents=True)
    (out / "mot" / "A" / "clip.txt").rename(out / "sequence" / "gt" / "gt.txt")
    info = f"[Sequence]\nframeRate=10\nimWidth={SIZE[0]}\nimHeight={SIZE[1]}\nseqLength=6\n"
    (out / "sequence" / "seqinfo.ini").write_text(info)
    truth = mot.open_tracks(out / "sequence").truth
    assert [one.ids.tolist() for one in truth] == [[], [], [7], [], [7], []]
    assert truth[4].boxes.tolist() == [list(CAR[2:])]


def test_without_tracks_mot_has_detections_and_of_a_camera_numbers_go_on(tmp_path):
    write_events(tmp_path / "bare.jsonl", "bare", [parts(found(CAR, PERSON))])
    frames = [parts(found(CAR, PERSON, tracks=numbers)) for numbers in ([1, 2], [1, -1])]
    write_events(tmp_path / "gate-1.jsonl", "gate", frames, epochs=[0, 1])
    converted(tmp_path, "mot")
    tracks = {file.stem: np.loadtxt(file, delimiter=",")[:, 1].tolist() for file in (tmp_path / "mot").iterdir()}
    assert tracks == {"bare": [-1, -1], "gate": [1, 2, 3]}
    write_events(tmp_path / "gate-2.jsonl", "gate", frames, epochs=[0, 1])
    with pytest.raises(watchline.WatchlineError, match=r"gate-2\.jsonl: frames of 'gate' begin anew"):
        list(convert(files_in(tmp_path), ["mot"], tmp_path, overwrite=True))


def test_csv_and_parquet_have_the_rows(out, monkeypatch):
    converted(out, "csv")
    rows = watchline.read_events(out)
    with (out / "detections.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [*read[0]] == [*COLUMNS]
    assert read[0]["zones"] == "yard;door"
    texts = [
        [str(value) for value in (row.source, row.frame, row.seconds, row.label, row.score, row.x2)] for row in rows
    ]
    assert [[one[name] for name in ("source", "frame", "seconds", "label", "score", "x2")] for one in read] == texts
    table_of = pandas.read_csv(out / "detections.csv")
    assert table_of.track.dropna().tolist() == [7, 7]

    monkeypatch.setattr(table, "BATCH", 2)
    converted(out, "parquet")
    file = parquet.ParquetFile(out / "detections.parquet")
    assert file.num_row_groups == 3, "a file of hours would be in memory at once"
    assert file.read().equals(rows.to_arrow())


def test_pictures_of_several_albums_and_cameras_have_names_of_their_own(tmp_path):
    for album in ("A", "B"):
        write_events(tmp_path / album / f"{album}.jsonl", album, [parts(found(CAR))], photos=["x.jpg"])
    write_events(tmp_path / "C" / "C.jsonl", "C/C", [parts(found(CAR))], photos=["x.jpg"])
    write_events(tmp_path / "gate-1.jsonl", "gate", [parts(found(CAR))] * 2, epochs=[0, 0])
    converted(tmp_path, "coco")
    listed = json.loads((tmp_path / "coco" / "annotations" / "instances_default.json").read_text())
    names = [image["file_name"] for image in listed["images"]]
    times = ["20231114T221320.000Z-000000", "20231114T221320.100Z-000001"]
    assert names == ["A/x.jpg", "B/x.jpg", "C/x.jpg", *(f"gate/{time}.jpg" for time in times)]


def test_frames_that_nobody_looked_at_are_in_no_data_set_but_in_rows_and_tracks(tmp_path):
    """With `--every 2 --track`, each second frame has boxes where tracks must be: no label to train on."""
    frames = [parts(found(CAR, tracks=[7])), parts(found(CAR, tracks=[7], is_predicted=True))] * 2
    write_events(tmp_path / "clip.jsonl", "clip", frames)
    for name in ("coco", "yolo", "cvat", "labelstudio", "mot", "csv", "parquet"):
        converted(tmp_path, name)
    images = json.loads((tmp_path / "coco/annotations/instances_default.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["clip/000000.jpg", "clip/000002.jpg"]
    assert sorted(path.name for path in (tmp_path / "yolo/labels/clip").iterdir()) == ["000000.txt", "000002.txt"]
    assert '<box frame="1"' not in (tmp_path / "cvat/clip.xml").read_text()
    [task] = json.loads((tmp_path / "labelstudio/videos.json").read_text())
    [result] = task["predictions"][0]["result"]
    assert [key["frame"] for key in result["value"]["sequence"]] == [1, 3]
    assert [row.split(",")[0] for row in (tmp_path / "mot/clip.txt").read_text().splitlines()] == ["1", "2", "3", "4"]
    with (tmp_path / "detections.csv").open() as file:
        assert [row["predicted"] for row in csv.DictReader(file)] == ["False", "True"] * 2
    assert parquet.read_table(tmp_path / "detections.parquet")["predicted"].to_pylist() == [False, True] * 2
    assert watchline.read_events(tmp_path).to_pandas().predicted.tolist() == [False, True] * 2
