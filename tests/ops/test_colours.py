"""Colours are part of what users recognise: they may not change by accident."""

import itertools

import cv2
import numpy as np
import pytest

from watchline.ops.colours import colour, ink

VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
).split()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("person", (109, 77, 255)),
        ("bicycle", (91, 214, 47)),
        ("car", (255, 157, 43)),
        ("motorbike", (31, 154, 255)),
        ("bus", (61, 224, 255)),
        ("dog", (75, 138, 201)),
        ("motorcycle", (31, 154, 255)),  # COCO's word for a motorbike
        ("potted plant", (78, 137, 20)),
        ("helmet", (255, 123, 143)),  # a label of nobody's: by its letters
        ("größe", (138, 185, 230)),
        ("", (109, 77, 255)),
    ],
)
def test_a_label_has_one_colour_for_ever(label, expected):
    assert colour(label) == expected


def test_classes_that_meet_can_be_told_apart():
    """The distance in CIE Lab; a difference of about 2 is just seen, 15 is plain."""
    names = [*VOC, "truck"]
    bgr = np.array([[colour(name) for name in names]], np.float32) / 255
    lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2LAB)[0]
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        assert np.linalg.norm(lab[i] - lab[j]) > 15, (a, b)


@pytest.mark.parametrize("name", [*VOC, "truck"])
def test_letters_can_be_read(name):
    """Contrast of relative luminance by WCAG 2; its bar for normal text is 4.5."""
    channels = np.array(colour(name)) / 255
    light = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = light @ [0.0722, 0.7152, 0.2126]  # blue, green, red
    contrast = 1.05 / (luminance + 0.05) if ink(colour(name)) == (255, 255, 255) else (luminance + 0.05) / 0.05
    assert contrast >= 4.5


@pytest.mark.parametrize(
    ("background", "letters"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (0, 0, 0)),
        ((255, 0, 0), (255, 255, 255)),  # blue is dark
        ((0, 255, 0), (0, 0, 0)),  # green is bright
        ((118, 118, 118), (0, 0, 0)),  # the greys where it turns
        ((117, 117, 117), (255, 255, 255)),
    ],
)
def test_ink(background, letters):
    assert ink(background) == letters


def test_a_label_that_is_no_text_still_has_a_colour():
    assert colour("\udc80") in {colour(name) for name in [*VOC, "truck"]}
