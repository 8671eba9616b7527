"""CamVid's eleven classes, in the order of SegNet's annotations; Brostow et al., "Semantic Object Classes in Video"."""

CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = len(CAMVID)
"""The number of pixels that have none of the classes."""
