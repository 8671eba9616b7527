"""How COCO's eighty classes fall to VOC's twenty."""

from watchline.ops.coco import COCO, RENAMED
from watchline.ops.voc import VOC


def coco_to_voc() -> dict[int, int]:
    """COCO class index -> VOC class index, for the names that VOC has too."""
    names = {i: RENAMED.get(name, name) for i, name in enumerate(COCO)}
    return {i: VOC.index(name) for i, name in names.items() if name in VOC}
