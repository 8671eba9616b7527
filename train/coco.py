"""COCO's eighty names, as detectors trained on it number them, and how they fall to VOC's twenty."""

from watchline.ops.voc import VOC

COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,"
    "wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
    "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,"
    "toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")

# A truck counts as a car: VOC has no word for it, and a street detector that is blind to lorries is of no use.
RENAMED = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
    "truck": "car",
}


def coco_to_voc() -> dict[int, int]:
    """COCO class index -> VOC class index, for the names that VOC has too."""
    names = {i: RENAMED.get(name, name) for i, name in enumerate(COCO)}
    return {i: VOC.index(name) for i, name in names.items() if name in VOC}
