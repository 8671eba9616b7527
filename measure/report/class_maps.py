"""The report of segmenters: the IoU of each class, what is taken for what, and the pictures with most wrong pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from watchline.measure.bootstrap import Figures
from watchline.measure.class_maps import ClassMaps, Mistaken, annotation
from watchline.measure.report import parts
from watchline.measure.scores import MEAN
from watchline.ops.class_map import VOID, ClassMap, tint
from watchline.ops.colours import colour
from watchline.streams.frame import Image
from watchline.streams.photo import read_photo

WIDTH, HEIGHT = 360, 720  # pixels at most of a picture; three are next to each other
OPACITY = 0.6  # of the classes' colours
WRONG = (50, 60, 235)  # BGR, of pixels that have another class


def page(models: Sequence[str], every: Sequence[ClassMaps], figures: Sequence[Figures], about: Sequence[str]) -> str:
    """The report.

    Args:
        models: their names.
        every, figures: of each model, on the same pictures.
        about: lines that say what ran and how it was counted.
    """
    body = [_per_class(models, every[0], figures), _confusions(models, every), _worst(models, every)]
    return parts.document(every[0].data, every[0].split, models, about, body)


def _per_class(models: Sequence[str], measured: ClassMaps, every: Sequence[Figures]) -> str:
    shares = measured.counts.sum(axis=1) / max(measured.counts.sum(), 1)
    pixels = dict(zip(measured.labels, shares.tolist(), strict=True)) | {MEAN: 1.0}
    rows = [f"<tr><th>IoU</th>{parts.names(models)}<th>pixels</th></tr>"]
    for name in (*measured.labels, MEAN):
        cells = "".join(parts.cell(figures, every[0], name, "IoU", n) for n, figures in enumerate(every))
        rows.append(f"<tr><th>{parts.text(name)}</th>{cells}<td>{pixels[name]:.2%}</td></tr>")
    return f"<h2>Intersection over union</h2>{parts.table(rows)}"


def _confusions(models: Sequence[str], every: Sequence[ClassMaps]) -> str:
    tables = ""
    for n, (model, one) in enumerate(zip(models, every, strict=True)):
        counts = one.counts
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        cells = [[f"{share:.1%}" if share else "" for share in row] for row in shares.tolist()]
        table = parts.confusion(one.labels, one.labels, cells, counts)
        tables += f"<h3>{parts.name(n, model)}</h3>{table}"
    return (
        "<h2>What is taken for what</h2><p>Classes that are there by row, and the share of their pixels that was found "
        f"as each class by column.</p>{tables}"
    )


def _worst(models: Sequence[str], every: Sequence[ClassMaps]) -> str:
    made = [
        "<h2>The worst pictures</h2><p>Those with the largest share of wrong pixels: the classes that are there, those "
        f"that were found, and in <span class=wrong>red</span> where they differ.</p><p>{_colours(every[0].labels)}</p>"
    ]
    for n, (model, one) in enumerate(zip(models, every, strict=True)):
        figures = "".join(
            parts.figure(draw(mistaken), mistaken.picture.name, f"{mistaken.wrong:.1%} of the pixels are wrong")
            for mistaken in one.worst
        )
        none = "" if one.worst else "<p>There is none.</p>"
        made.append(f"<h3>{parts.name(n, model)}</h3>{none}{figures}")
    return "".join(made)


def _colours(labels: Sequence[str]) -> str:
    """What the colours of the pictures mean."""
    named = ""
    for label in labels:
        blue, green, red = colour(label)
        named += f'<span class=name style="--c: rgb({red} {green} {blue})"><i></i>{parts.text(label)}</span> '
    return named


def draw(mistaken: Mistaken) -> Image:
    """The picture three times, next to each other: what is there, what was found, and what is wrong.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        DataNotFound, DataRefused, SourceUnreadable: a file has changed since it was measured.
    """
    image = read_photo(mistaken.picture).pixels
    height, width = image.shape[:2]
    labels = mistaken.found.labels
    truth = annotation(mistaken.annotation, (height, width), len(labels))
    truth = np.where(truth < len(labels), truth, VOID).astype(np.uint8)
    is_wrong = (truth != VOID) & (truth != mistaken.found.scaled(width, height))
    scale = min(WIDTH / width, HEIGHT / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    there, found, wrong = small.copy(), small.copy(), small.copy()
    tint(there, ClassMap(truth, labels), colour, OPACITY)
    tint(found, mistaken.found, colour, OPACITY)
    tint(wrong, ClassMap(np.where(is_wrong, 0, VOID).astype(np.uint8), ("wrong",)), lambda _: WRONG, OPACITY)
    return np.concatenate([there, found, wrong], axis=1)
