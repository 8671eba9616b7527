"""Official weights by name: where they are, how large they are, what their hash is, and what to do with them.

    CATALOGUE["yolov2"].files  # yolov2.cfg, yolov2.weights

Hashes and sizes are what others have published who downloaded a file from its official address; those of torchvision's
agree with the beginning of the sha256 that its file names carry. Those of Darknet's .cfg are of Debian's package of the
very commit. What has no known hash is not here.
"""

from dataclasses import dataclass

PJREDDIE = ("https://data.pjreddie.com/files/", "https://pjreddie.com/media/files/")  # the second is the older address
DARKNET = "https://raw.githubusercontent.com/pjreddie/darknet/61c9d02ec461e30d55762ec7669d6a1d3c356fb2/cfg/"
TORCHVISION = "https://download.pytorch.org/models/"
YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
NANODET = "https://github.com/RangiLyu/nanodet/releases/download/v1.0.0-alpha-1/"


@dataclass(frozen=True)
class File:
    """Attributes:
    name: of the file, without a folder.
    urls: its addresses, tried in this order.
    digest: what it is checked against: "sha256:" or "sha1:", and the hash in hexadecimal.
    size: in bytes; None if it is not known, then the hash alone tells.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    size: int | None


@dataclass(frozen=True)
class Entry:
    """Attributes:
    files: in the order in which `next` takes them.
    about: the network and what it was trained on.
    licence: of the weights, as far as the publisher says.
    next: the command to go on with; {files} stands for the paths.
    """

    files: tuple[File, ...]
    about: str
    licence: str
    next: str


def _darknet(name: str, about: str, cfg: tuple[str, int], weights: tuple[str, int | None]) -> Entry:
    (cfg_sha256, cfg_size), (digest, size) = cfg, weights
    return Entry(
        (
            File(f"{name}.cfg", (f"{DARKNET}{name}.cfg",), f"sha256:{cfg_sha256}", cfg_size),
            File(f"{name}.weights", tuple(f"{base}{name}.weights" for base in PJREDDIE), digest, size),
        ),
        about,
        "public domain, as Darknet itself",
        f"watchline export {{files}} -o {name}.onnx",
    )


def _torchvision(arch: str, about: str, file: str, sha256: str, size: int) -> Entry:
    return Entry(
        (File(file, (TORCHVISION + file,), f"sha256:{sha256}", size),),
        about,
        "BSD-3-Clause, as torchvision itself",
        f"watchline export {{files}} --arch {arch} -o {arch}.onnx",
    )


def _onnx(base: str, name: str, family: str, about: str, sha256: str, size: int | None) -> Entry:
    file = f"{name}.onnx"
    return Entry(
        (File(file, (base + file,), f"sha256:{sha256}", size),),
        about,
        "Apache-2.0",
        f"watchline export {{files}} --family {family} -o {name}-watchline.onnx",
    )


CATALOGUE: dict[str, Entry] = {
    "yolov2": _darknet(
        "yolov2",
        "YOLOv2, Darknet-19, COCO",
        ("9bb5bd2620624613483c8447bc713fe99e0a4af5f8e8d923b81520a162993574", 2726),
        ("sha256:d9945162ed6f54ce1a901e3ec537bdba4d572ecae7873087bd730e5a7942df3f", 203_934_260),
    ),
    "yolov2-tiny": _darknet(
        "yolov2-tiny",
        "YOLOv2 tiny, COCO",
        ("58e8f4390c8080a90a40f3b7ec5868ee9ae32519f3c08f57d104e494de04b34d", 1488),
        ("sha256:16f4e870f1aed83f0089cb69bfda6b53cb7b2a4a01721be56eaf5c899dfac45f", 44_948_600),
    ),
    "yolov2-tiny-voc": _darknet(
        "yolov2-tiny-voc",
        "YOLOv2 tiny, PASCAL VOC",
        ("1e012b455b845579096378b0ab4a82f1d9cb53b3b1282724a6de5d45537cb7e6", 1456),
        ("sha1:24b4bd049fc4fa5f5e95f684a8967e65c625dff9", 63_471_556),
    ),
    "yolov3": _darknet(
        "yolov3",
        "YOLOv3, Darknet-53, COCO",
        ("22489ea38575dfa36c67a90048e8759576416a79d32dc11e15d2217777b9a953", 8342),
        ("sha256:523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297", 248_007_048),
    ),
    "yolov3-tiny": _darknet(
        "yolov3-tiny",
        "YOLOv3 tiny, COCO",
        ("84eb7a675ef87c906019ff5a6e0effe275d175adb75100dcb47f0727917dc2c7", 1915),
        ("sha256:dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c", 35_434_956),
    ),
    "yolov3-spp": _darknet(
        "yolov3-spp",
        "YOLOv3 with spatial pyramid pooling, COCO",
        ("7a4ec2d7427340fb12059f2b0ef76d6fcfcac132cc287cbbf0be5e3abaa856fd", 8606),
        ("sha256:87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4", None),
    ),
    "fasterrcnn_resnet50_fpn": _torchvision(
        "fasterrcnn_resnet50_fpn",
        "Faster R-CNN, ResNet-50 with feature pyramid, COCO",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        "258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        167_502_836,
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _torchvision(
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "Faster R-CNN, MobileNetV3 with feature pyramid at 320 pixels, COCO",
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        "907ea3f91ff92242bc1baea8049276a3e76bca48ce7560bd268cc029f37977b5",
        77_844_807,
    ),
    "maskrcnn_resnet50_fpn": _torchvision(
        "maskrcnn_resnet50_fpn",
        "Mask R-CNN, ResNet-50 with feature pyramid, COCO",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        "bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
        178_090_079,
    ),
    "fcn_resnet50": _torchvision(
        "fcn_resnet50",
        "FCN, ResNet-50, VOC's classes out of COCO",
        "fcn_resnet50_coco-1167a1af.pth",
        "1167a1affa42e1e62858f8d3fac12d109e0108327ffc91c5855a324b11683c36",
        141_567_418,
    ),
    "fcn_resnet101": _torchvision(
        "fcn_resnet101",
        "FCN, ResNet-101, VOC's classes out of COCO",
        "fcn_resnet101_coco-7ecb50ca.pth",
        "7ecb50ca17844860a70d5ed0c748d997cf8adb62932abaa0233430c68594d749",
        217_800_805,
    ),
    "ssd300_vgg16": _torchvision(
        "ssd300_vgg16",
        "SSD, VGG-16 at 300 pixels, COCO",
        "ssd300_vgg16_coco-b556d3b4.pth",
        "b556d3b43ab6c3f63d81bfb8835fe8756ac22da664357da100dccf96b6a6b42d",
        142_594_222,
    ),
    "ssdlite320_mobilenet_v3_large": _torchvision(
        "ssdlite320_mobilenet_v3_large",
        "SSDlite, MobileNetV3 at 320 pixels, COCO",
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        "a79551df90c79834bcd3bb3845ef9d966b5449a3a9b2833ae8404778ca5d65d2",
        14_069_355,
    ),
    "vgg16": Entry(
        (
            File(
                "vgg16-397923af.pth",
                (f"{TORCHVISION}vgg16-397923af.pth",),
                "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                553_433_881,
            ),
        ),
        "VGG-16, ImageNet: no detector, but what a Faster R-CNN begins its training with",
        "BSD-3-Clause, as torchvision itself",
        "watchline train faster-rcnn --backbone vgg16 --pretrained {files} --data VOCDIR --out DIR",
    ),
    "yolox_nano": _onnx(
        YOLOX,
        "yolox_nano",
        "yolox",
        "YOLOX nano at 416 pixels, COCO",
        "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
        3_659_407,
    ),
    "yolox_tiny": _onnx(
        YOLOX,
        "yolox_tiny",
        "yolox",
        "YOLOX tiny at 416 pixels, COCO",
        "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7",
        20_219_662,
    ),
    "yolox_s": _onnx(
        YOLOX,
        "yolox_s",
        "yolox",
        "YOLOX S at 640 pixels, COCO",
        "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
        35_858_002,
    ),
    "yolox_l": _onnx(
        YOLOX,
        "yolox_l",
        "yolox",
        "YOLOX L at 640 pixels, COCO",
        "7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411",
        216_746_733,
    ),
    "nanodet-plus-m_416": _onnx(
        NANODET,
        "nanodet-plus-m_416",
        "nanodet",
        "NanoDet-Plus M at 416 pixels, COCO",
        "59d2f166088889c902f523bf08079391993491324f0d84847e3c4016a8f7cc3d",
        None,
    ),
}
