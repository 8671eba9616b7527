"""Tiny data sets of two classes in the three layouts that `watchline train` reads, one box per picture."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

NAMES = ("cup", "person")
SIZE = (80, 60)
Boxes = Sequence[tuple[str, float, float, float, float]]
"""Of a picture: class name, and x1, y1, x2, y2 in pixels."""


def boxes(number: int) -> Boxes:
    """The boxes of a picture: one, its class in turn."""
    return [(NAMES[number % 2], 10.0 + number, 20, 40 + number, 50)]


def pictures(count: int) -> dict[str, Boxes]:
    """So many pictures by name."""
    return {f"{number:02}": boxes(number) for number in range(count)}


def photo(file: Path, number: str) -> None:
    """A picture with coloured objects in `boxes(number)`, and a background that is unlike any other's."""
    image = np.random.default_rng(int(number)).integers(0, 120, (6, 8, 3), np.uint8)
    image = cv2.resize(image, SIZE, interpolation=cv2.INTER_CUBIC)
    for name, *box in boxes(int(number)):
        x1, y1, x2, y2 = map(int, box)
        image[y1:y2, x1:x2] = (40, 230, 40) if name == "cup" else (40, 40, 230)
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), image)


def yolo(folder: Path, splits: Mapping[str, Mapping[str, Boxes]], names: Sequence[str] = NAMES) -> Path:
    """`images/SPLIT`, `labels/SPLIT` and a data.yaml, whose path is returned."""
    for split, of in splits.items():
        for name, rows in of.items():
            photo(folder / "images" / split / f"{name}.jpg", name)
            lines = []
            for label, x1, y1, x2, y2 in rows:
                shares = (x1 + x2) / 2 / SIZE[0], (y1 + y2) / 2 / SIZE[1], (x2 - x1) / SIZE[0], (y2 - y1) / SIZE[1]
                lines.append(" ".join(map(str, (names.index(label), *shares))))
            labels = folder / "labels" / split / f"{name}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("\n".join(lines) + "\n")
    file = folder / "data.yaml"
    file.write_text("".join(f"{split}: images/{split}\n" for split in splits) + f"names: {list(names)}\n")
    return file


def coco(folder: Path, splits: Mapping[str, Mapping[str, Boxes]], names: Sequence[str] = NAMES) -> Path:
    """`annotations/instances_SPLIT.json` and folders of pictures; ids have gaps, as COCO's have."""
    for split, of in splits.items():
        content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
        content["categories"] = [{"id": 7 * (i + 1), "name": name} for i, name in enumerate(names)]
        for number, (name, rows) in enumerate(of.items(), 100):
            photo(folder / split / f"{name}.jpg", name)
            about = {"id": number, "file_name": f"{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
            content["images"].append(about)
            for label, x1, y1, x2, y2 in rows:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": 7 * (names.index(label) + 1), "iscrowd": 0}
                content["annotations"].append({"id": len(content["annotations"]), "image_id": number, **box})
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def voc(folder: Path, splits: Mapping[str, Mapping[str, Boxes]]) -> Path:
    """`JPEGImages`, `Annotations` and a list for each split. VOC counts from 1 and includes the last pixel."""
    for split, of in splits.items():
        for name, rows in of.items():
            photo(folder / "JPEGImages" / f"{name}.jpg", name)
            objects = ""
            for label, x1, y1, x2, y2 in rows:
                sides = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
                box = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
                objects += f"<object><name>{label}</name><bndbox>{box}</bndbox></object>"
            size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
            file = folder / "Annotations" / f"{name}.xml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"<annotation>{size}{objects}</annotation>")
        lists = folder / "ImageSets" / "Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in of))
    return folder


MAKERS: dict[str, Callable[[Path, Mapping[str, Mapping[str, Boxes]]], Path]] = {"yolo": yolo, "coco": coco, "voc": voc}
