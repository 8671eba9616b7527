"""PicoDet (Yu et al., 2021) as PaddleDetection exports it without its own suppression.

Scores (B, n, C) and distributions (B, n, 32) of four maps, as NanoDet's, seen from the middle of each cell. Pixels are
BGR with ImageNet's mean and deviation; the picture is stretched.
"""

from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, always
from watchline.export.detectors.nanodet import boxes, joined, pairs
from watchline.export.detectors.network import PADDLE, ThirdPartyNetwork
from watchline.export.detectors.preparation import Preparation

STRIDES = (8, 16, 32, 64)


def fits(network: ThirdPartyNetwork) -> bool:
    """Scores and distributions of four maps."""
    return pairs(network, STRIDES) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """Its exporter."""
    return network.producer == PADDLE


def decode(build: Build) -> FamilyOutputs:
    """Scores are in 0..1 already; boxes as NanoDet's."""
    places = pairs(build.network, STRIDES)
    assert places, "the outputs were found to fit"
    outputs = build.run()
    scores, sides = joined(build, outputs, places)
    classes = build.network.shapes[places[0][0]][2]
    return FamilyOutputs(boxes(build, sides, STRIDES, offset=0.5), scores, build.labels(classes))


FAMILY = Family(
    "four outputs (B, n, C) and four (B, n, 32), n the cells of strides 8, 16, 32 and 64",
    fits,
    tells,
    always(Preparation("stretch", rgb=False, mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])),
    decode,
)
