"""YOLOv6 (Li et al., 2022) as Meituan's exporter writes it: centres and sizes in pixels, and ones for an objectness.

The output `outputs` is (B, N, 5 + C): centre, size, objectness, classes. Since version 0.2 there is no objectness any
more, and its column is 1; before, the name alone differs from YOLOX's. Pixels are RGB in 0..1.
"""

from watchline.export.detectors import signs, yolox
from watchline.export.detectors.family import Build, Family, FamilyOutputs, always, corners
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64))  # usual; P6 and lite


def fits(network: ThirdPartyNetwork) -> bool:
    """One output (B, N, 5 + C), N the cells of three or four maps, in pixels, or with ones in the fifth column."""
    match list(network.tried.values()):
        case [out] if out.ndim == 3 and out.shape[2] > 5 and in_unit(out[..., 4:]):
            if out.shape[1] not in {sum(count(network.size, strides)) for strides in PYRAMIDS}:
                return False
            return signs.ones(out[..., 4]) or (yolox.fits(network) and yolox.in_pixels(network))
    return False


def tells(network: ThirdPartyNetwork) -> bool:
    """The ones, or its exporter's name for the output."""
    ((name, out),) = network.tried.items()
    return signs.ones(out[..., 4]) or name == "outputs"


def decode(build: Build) -> FamilyOutputs:
    """Score = objectness x class."""
    (out,) = build.run()
    boxes = corners(build.graph, out[..., :2], out[..., 2:4])
    return FamilyOutputs(boxes, out[..., 4:5] * out[..., 5:], build.labels(build.network.shapes[0][2] - 5))


FAMILY = Family(
    "one output (B, N, 5 + C), N the cells of strides 8, 16, 32 (and 64), in pixels, ones in the fifth column",
    fits,
    tells,
    always(Preparation("letterbox-center")),
    decode,
)
