"""`watchline train MODEL --data DIR --out DIR`: train a model. Needs torch.

watchline train yolov2 --data DIR --out DIR --start yolov2-slim  # go on from a detector that ships
watchline train faster-rcnn --data VOCDIR --out DIR --backbone vgg16 --pretrained vgg16-397923af.pth
watchline train mask-rcnn --data pennfudan coco128 --out DIR  # people with their pixels
watchline train segmenter --data CAMVID --out DIR  # the class of every pixel
watchline train captioner --data flickr8k --out DIR --system show-and-tell
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.arguments import at_least
from watchline.cli.exit_codes import DONE
from watchline.extras import command

if TYPE_CHECKING:  # torch is not installed with the core
    from watchline.models.faster_rcnn import Trunk

EVERY = 20  # steps between lines
MODEL = "yolov2.onnx"
CAPTIONERS = ("show-attend-tell", "show-and-tell", "deep-image-sent")
BACKBONES = ("vgg16", "efficientnet-lite0")
OWN = {  # options that only one model has
    "yolov2": ("cache", "start", "device"),
    "faster-rcnn": ("backbone", "pretrained", "imgsz", "split"),
    "mask-rcnn": (),
    "segmenter": ("minutes",),
    "captioner": ("system", "epochs", "cache"),
}
NEEDED = f"training needs torch: {command('train')}"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options; those of the recipe default to the recipe's own."""
    parser = commands.add_parser(
        "train",
        help="train a model; goes on where it stopped",
        description="Train a model. A run that was stopped goes on from its checkpoint in the output folder.",
        allow_abbrev=False,
    )
    parser.add_argument("model", choices=list(OWN))
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        nargs="+",
        help="folder of the data sets; for faster-rcnn one or more in VOC's or Penn-Fudan's layout, for mask-rcnn in "
        "Penn-Fudan's or that of COCO's polygons, for segmenter one in CamVid's, for captioner in Flickr8k's",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the checkpoint")
    parser.add_argument("--steps", type=at_least(1), help="optimizer steps (default: the recipe's own)")
    parser.add_argument("--batch", type=at_least(1), help="pictures a step (default: the recipe's own)")
    parser.add_argument("--seed", type=at_least(0), help="of everything random (default: 0)")
    parser.add_argument("--threads", type=at_least(1), default=os.cpu_count(), help="(default: all cores)")
    yolov2 = parser.add_argument_group("yolov2")
    yolov2.add_argument(
        "--cache",
        type=Path,
        help="folder for the teachers' labels (default: OUT/labels), or for a captioner's feature maps (default: OUT)",
    )
    yolov2.add_argument(
        "--start",
        metavar="FILE|NAME",
        help="network to go on from: the name of a shipped model, a .onnx that was exported of one, or a .pt "
        "(default: ImageNet's weights in a whole EfficientNet-Lite0)",
    )
    yolov2.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda where there is one)")
    faster = parser.add_argument_group("faster-rcnn")
    faster.add_argument("--backbone", choices=BACKBONES, help="(default: vgg16, as in the paper)")
    faster.add_argument("--pretrained", type=Path, metavar="FILE", help="ImageNet weights of torchvision's vgg16, .pth")
    faster.add_argument(
        "--imgsz", type=at_least(64), help="side of the input in pixels (default: 608 with vgg16, else 320)"
    )
    faster.add_argument("--split", help="of VOC folders: a list in ImageSets/Main (default: train)")
    segmenter = parser.add_argument_group("segmenter")
    segmenter.add_argument("--minutes", type=at_least(1), help="of training, instead of a number of steps")
    captioner = parser.add_argument_group("captioner")
    captioner.add_argument("--system", choices=CAPTIONERS, help="(default: show-attend-tell)")
    captioner.add_argument("--epochs", type=at_least(1), help="with maximum likelihood (default: the recipe's own)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, with a line each 20 steps."""
    # A waiting OpenMP thread that spins takes the cores from whatever else runs: six times slower on a busy machine.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parser: argparse.ArgumentParser = options.parser
    for model, names in OWN.items():
        for name in set(names).difference(OWN[options.model]):
            if getattr(options, name) is not None:
                parser.error(f"--{name} goes with {model}, not with {options.model}")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out {options.out}: it is not a folder; name one for the checkpoint")
    try:
        return {
            "yolov2": _yolov2,
            "faster-rcnn": _faster_rcnn,
            "mask-rcnn": _mask_rcnn,
            "segmenter": _segmenter,
            "captioner": _captioner,
        }[options.model](options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("watchline"):
            raise
        parser.error(f"{NEEDED} ({error.name} is not installed)")


def _yolov2(options: argparse.Namespace) -> int:
    import onnx

    from watchline.engines import zoo
    from watchline.export.pytorch import yolov2 as exporter
    from watchline.export.request import Request
    from watchline.train import yolov2
    from watchline.train.mixture import gather
    from watchline.train.pictures import GROUPS

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; yolov2 takes one, that holds all its data sets")
    (folder,) = options.data
    device = options.device or yolov2.best_device()
    if device == "cuda" and yolov2.best_device() != "cuda":
        options.parser.error("--device cuda: PyTorch sees no GPU here; `watchline doctor` says what this machine has")
    start = zoo.find(options.start) if options.start else None
    recipe = replace(yolov2.RECIPES[device], **_asked(options, "steps", "batch", "seed"))
    print(f"reading {folder}", flush=True)
    pictures = list(gather(folder, options.cache or options.out / "labels"))
    counts = Counter(GROUPS[p.group] for p in pictures)
    print(", ".join(f"{counts[group]} pictures of {group}" for group in GROUPS), flush=True)
    _report(yolov2.train(pictures, options.out, recipe, options.threads, device, start), recipe.steps)
    file = options.out / MODEL
    onnx.save(exporter.export(options.out / yolov2.CHECKPOINT, Request(file.stem)), file)
    print(f"{file}: done; watchline annotate … --model {file}")
    return DONE


def _faster_rcnn(options: argparse.Namespace) -> int:
    from watchline.models.faster_rcnn import TRUNKS
    from watchline.train import faster_rcnn

    backbone = options.backbone or BACKBONES[0]
    recipe = replace(
        faster_rcnn.RECIPES[backbone],
        **_asked(options, "steps", "batch", "seed"),
        **({"size": options.imgsz} if options.imgsz else {}),
    )
    if recipe.size % (multiple := TRUNKS[backbone].multiple):
        options.parser.error(f"--imgsz {recipe.size}: expected a multiple of {multiple} for {backbone}")
    trunk = _trunk(options, backbone)
    print(f"reading {', '.join(map(str, options.data))}", flush=True)
    samples = faster_rcnn.read(options.data, options.split or "train")
    print(f"{len(samples)} pictures, {sum(len(s.boxes) for s in samples)} boxes", flush=True)
    _report(faster_rcnn.train(samples, options.out, trunk, backbone, recipe, options.threads), recipe.steps)
    checkpoint = options.out / faster_rcnn.CHECKPOINT
    print(f"{checkpoint}: done, {recipe.steps} steps; watchline export {checkpoint} -o faster-rcnn.onnx")
    return DONE


def _mask_rcnn(options: argparse.Namespace) -> int:
    from watchline.train import mask_rcnn

    recipe = replace(mask_rcnn.Recipe(), **_asked(options, "steps", "batch", "seed"))
    print(f"reading {', '.join(map(str, options.data))}", flush=True)
    sets = mask_rcnn.read(options.data)
    print(f"{sum(map(len, sets))} pictures, {sum(len(one.numbers) for s in sets for one in s)} people", flush=True)
    _report(mask_rcnn.train(sets, options.out, recipe, options.threads), recipe.steps)
    checkpoint = options.out / mask_rcnn.CHECKPOINT
    print(f"{checkpoint}: done, {recipe.steps} steps; watchline export {checkpoint} -o mask-rcnn.onnx")
    return DONE


def _segmenter(options: argparse.Namespace) -> int:
    from watchline.train import camvid, segment

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; segmenter takes one, in CamVid's layout")
    (folder,) = options.data
    recipe = replace(segment.Recipe(), **_asked(options, "steps", "minutes", "batch", "seed"))
    print(f"reading {folder}", flush=True)
    scenes = camvid.read(folder, "train")
    print(f"{len(scenes)} pictures", flush=True)
    _report(segment.train(scenes, options.out, recipe, options.threads), None if recipe.minutes else recipe.steps)
    average = options.out / segment.AVERAGE
    print(f"{average}: done; watchline export {average} -o segmenter.onnx")
    return DONE


def _captioner(options: argparse.Namespace) -> int:
    from watchline.train import captions, checkpoint
    from watchline.train.captions_data import split

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; a captioner takes one, in Flickr8k's layout")
    if options.steps:
        options.parser.error("--steps: a captioner is trained for whole epochs; name --epochs")
    (folder,) = options.data
    recipe = replace(captions.Recipe(), **_asked(options, "system", "epochs", "seed"))
    recipe = replace(recipe, photos=options.batch or recipe.photos)
    cache = options.cache or options.out
    checkpoint.make_folder(options.out)
    checkpoint.make_folder(cache)
    print(f"reading {folder}", flush=True)
    learn, dev = (split(folder, name, cache, _say) for name in ("train", "dev"))
    steps = captions.steps_of(recipe, len(learn.photos))
    print(f"{len(learn.photos)} photos to learn from, {len(dev.photos)} to measure", flush=True)
    _report(captions.train(learn, dev, options.out, recipe, options.threads, _say), steps)
    file = options.out / captions.CHECKPOINT
    print(f"{file}: done, {steps} steps; watchline export {file} -o captioner.onnx")
    return DONE


def _say(line: str) -> None:
    print(line, flush=True)


def _trunk(options: argparse.Namespace, backbone: str) -> "Trunk":
    """The trunk with ImageNet weights, those of VGG-16 from a file."""
    from watchline.export.pytorch import state_dict
    from watchline.models.lite_trunk import LiteTrunk
    from watchline.models.vgg import VGG16

    if backbone != "vgg16":
        if options.pretrained:
            options.parser.error(f"--pretrained goes with --backbone vgg16; {backbone} comes with its own weights")
        return LiteTrunk.pretrained()
    if not options.pretrained:
        options.parser.error(
            "--backbone vgg16 needs --pretrained FILE, ImageNet's weights, without which some thousand pictures teach "
            "it nothing: `watchline fetch vgg16` downloads it"
        )
    return VGG16.pretrained(state_dict.load(options.pretrained), str(options.pretrained))


def _asked(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those settings of a recipe that were given."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _report(steps: Iterable[dict[str, float]], last: int | None) -> None:
    """A line each 20 steps: the mean of the loss and its parts, seconds a step, time to go.

    Args:
        last: number of the last step; None if the run has a length in time, and `done` tells its share.
    """
    since: list[dict[str, float]] = []
    started, first = 0.0, -1
    for figures in steps:
        step = int(figures["step"])
        if first < 0:  # what comes before the first step is not counted on
            started, first = time.monotonic() - figures["seconds"], step - 1
            before = figures.get("done", 0.0)
        since.append(figures)
        if step % EVERY and step != last:
            continue
        alike = [f for f in since if f.keys() == figures.keys()]  # a part of the run may have other losses
        means = {name: sum(f[name] for f in alike) / len(alike) for name in figures if name not in ("step", "size")}
        taken, done = time.monotonic() - started, figures.get("done", 0.0)
        ahead = (last - step) / (step - first) if last else (1 - done) / max(done - before, 1e-9)
        minutes, seconds = divmod(round(taken * ahead), 60)
        seconds_a_step = means.pop("seconds")
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items() if name != "done")
        of = f"/{last}" if last else ""
        print(f"step {step}{of}  {losses}  {seconds_a_step:.2f} s a step, ETA {minutes}:{seconds:02d}", flush=True)
        since.clear()
