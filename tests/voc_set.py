"""Tiny data sets in VOC's layout: cells of pure colours on a grey picture."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from models_onnx import STRIDE
from numpy.typing import NDArray

COLOURS = {"person": (0, 0, 255), "bicycle": (0, 255, 0), "car": (255, 0, 0)}  # BGR that the tiny detector detects

Cell = tuple[str, int, int]
"""A class name, and the column and row of its cell."""


def picture(cells: Sequence[Cell], width: int = 64, height: int = 64) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 BGR. A name without a colour is grey."""
    image = np.full((height, width, 3), 114, np.uint8)
    for name, column, row in cells:
        image[row * STRIDE : (row + 1) * STRIDE, column * STRIDE : (column + 1) * STRIDE] = COLOURS.get(name, 114)
    return image


def thing(name: str, column: int, row: int, difficult: str = "0") -> str:
    """The XML of an object that fills a cell; VOC counts from 1 and includes the last pixel."""
    box = {"xmin": column * STRIDE + 1, "ymin": row * STRIDE + 1}
    box |= {"xmax": box["xmin"] + STRIDE - 1, "ymax": box["ymin"] + STRIDE - 1}
    sides = "".join(f"<{side}>{value}</{side}>" for side, value in box.items())
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


def add(folder: Path, name: str, cells: Sequence[Cell], truth: Sequence[str] | None = None) -> None:
    """Write a photo and its XML. `truth` are the objects in the XML if they differ from the cells."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    # A PNG with a photo's name keeps pure colours, and readers recognise a format by its content.
    _, data = cv2.imencode(".png", picture(cells))
    (folder / "JPEGImages" / f"{name}.jpg").write_bytes(data.tobytes())
    objects = "".join(truth if truth is not None else [thing(*cell) for cell in cells])
    size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{objects}</annotation>")


def split(folder: Path, name: str, pictures: Sequence[str]) -> None:
    """Write the list of a split."""
    (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{picture}\n" for picture in pictures))
