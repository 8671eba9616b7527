"""COCO's eighty classes: their names in the order in which detectors number them, their ids, and which are VOC's."""

from watchline.ops.voc import VOC

COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,"
    "wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
    "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,"
    "toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")

# COCO names -> VOC names. A truck counts as a car: VOC has no class for it, and a street detector must see lorries.
RENAMED = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
    "truck": "car",
}
"""COCO's classes that VOC names differently."""

ID_COUNT = 91
UNUSED_IDS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
IDS = [number for number in range(ID_COUNT) if number not in UNUSED_IDS]
"""COCO's own id of each of the eighty classes. Some networks have a column of scores for every id, so 91."""


def coco_to_voc() -> dict[int, int]:
    """COCO class index -> VOC class index, for the classes that VOC has too."""
    names = {i: RENAMED.get(name, name) for i, name in enumerate(COCO)}
    return {i: VOC.index(name) for i, name in names.items() if name in VOC}
