"""`watchline train MODEL --data DIR --out DIR`: train a model. Needs torch.

watchline train yolov2 --data data.yaml --out DIR  # on your own data, from a detector that ships
watchline train faster-rcnn --data DIR --out DIR --backbone vgg16 --pretrained vgg16-397923af.pth
watchline train mask-rcnn --data pennfudan coco128 --out DIR  # people with their pixels
watchline train segmenter --data CAMVID --out DIR  # the class of every pixel
watchline train localizer --data DIR --out DIR  # classification + localization: the one object of a photo
watchline train overfeat --data DIR --out DIR  # the same network, slid over the picture
watchline train fast-rcnn --data DIR --out DIR  # it classifies what Selective Search proposes; also rcnn
watchline train captioner --data flickr8k --out DIR --system show-and-tell
watchline train vqa --data daquar --out DIR  # it answers questions about photos
watchline train lstm --data TEXT --out DIR  # it goes on with a text; also rnn, deep-rnn
watchline train bidirectional-rnn --data TEXT --out DIR  # it finds capitals in a text without
"""

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least
from watchline.cli.exit_codes import DONE
from watchline.cli.output_folder import check_folder
from watchline.cli.train_report import report, say, settled, settled_for
from watchline.extras import command

if TYPE_CHECKING:  # torch is not installed with the core
    from watchline.train.own_data.dataset import DataSet

BOXES = ("specific", "agnostic")
SYSTEMS = {
    "captioner": ("show-attend-tell", "show-and-tell", "deep-image-sent"),
    "vqa": ("vqa", "blind"),
}
IMAGENET = "imagenet"  # of `--from`: the name of no model, a backbone without a head
BACKBONES = ("vgg16", "efficientnet-lite0")
DETECTORS = ("device", "epochs", "imgsz", "patience", "workers", "resume")  # options of both
OWN: dict[str, tuple[str, ...]] = {  # options that not every model has
    "yolov2": ("from", "cache", *DETECTORS),
    "yolo": DETECTORS,
    "ssd": DETECTORS,
    "faster-rcnn": ("backbone", "pretrained", *DETECTORS),
    "mask-rcnn": ("from",),
    "segmenter": ("from", "minutes", "unlabelled", "boxed"),
    "captioner": ("system", "epochs", "cache"),
    "vqa": ("system", "cache"),
    "lstm": (),
    "rnn": (),
    "deep-rnn": (),
    "bidirectional-rnn": (),
    "localizer": ("boxes", "cache"),
    "overfeat": ("cache",),
    "rcnn": ("cache",),
    "fast-rcnn": ("epochs", "cache"),
}
NEEDED = f"training needs torch: {command('train')}"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options; those of the recipe default to the recipe's own."""
    parser = commands.add_parser(
        "train",
        help="train a model on your own data; goes on where it stopped",
        description="Train a model. A run that was stopped goes on from its checkpoint in the output folder: of a "
        "detector with --resume, of the others by the same command.",
        allow_abbrev=False,
    )
    parser.add_argument("model", choices=list(OWN))
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="what to train on: for detectors and localizer folders in VOC's, COCO's or Penn-Fudan's layout, or YOLO's "
        "data.yaml; for mask-rcnn in Penn-Fudan's layout or that of COCO's polygons, for segmenter one in CamVid's, "
        "for captioner in Flickr8k's, for vqa in DAQUAR's; for lstm and its like a text",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the checkpoint and the results")
    parser.add_argument("--steps", type=at_least(1), help="optimizer steps (default: the recipe's own)")
    parser.add_argument(
        "--batch", type=at_least(1), help="pictures a step, or parts of a text (default: the recipe's own)"
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="settings of the training, e.g. recipes/overfeat.toml; of yolov2 also which data, in the folder --data: "
        "recipes/yolov2-slim.toml",
    )
    parser.add_argument("--seed", type=at_least(0), help="of everything random (default: 0)")
    parser.add_argument("--threads", type=at_least(1), help="(default: all cores that it may use)")
    _detector_options(parser.add_argument_group("yolov2, yolo, ssd, faster-rcnn"))
    segmenter = parser.add_argument_group("segmenter")
    segmenter.add_argument("--minutes", type=at_least(1), help="of training, instead of a number of steps")
    segmenter.add_argument(
        "--unlabelled",
        type=Path,
        nargs="+",
        metavar="DIR|LIST",
        help="pictures without labels, to learn what the network of --from sees in them: folders, or text files with "
        "a path in each line",
    )
    segmenter.add_argument(
        "--boxed",
        type=Path,
        nargs="+",
        metavar="DIR|data.yaml",
        help="such pictures with boxes of cars, pedestrians or cyclists, which correct what it sees, in a layout that "
        "yolov2 takes",
    )
    words = parser.add_argument_group("captioner, vqa")
    words.add_argument(
        "--system",
        choices=[system for systems in SYSTEMS.values() for system in systems],
        help="(default: the first that the model has: show-attend-tell or vqa; blind answers without the photo)",
    )
    localizer = parser.add_argument_group("localizer")
    localizer.add_argument("--boxes", choices=BOXES, help="a box for each class, or one (default: specific)")
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder for features of captioner, vqa, localizer, overfeat and rcnn, for proposals of rcnn and fast-rcnn "
        "(default: OUT), or for labels of --recipe's teachers (default: OUT/labels)",
    )
    return parser


def _detector_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--from",
        metavar="NAME|FILE",
        help="of yolov2, mask-rcnn and segmenter: the network to go on from, the name of a shipped model, a .onnx that "
        "was exported from one, of yolov2 also a .pt of a training; or `imagenet` for a backbone that knows no objects "
        "yet (default: imagenet; of yolov2, yolov2-lite0)",
    )
    group.add_argument(
        "--epochs", type=at_least(1), help="how often to see the data (default: 100; fast-rcnn: 12; captioner: its own)"
    )
    group.add_argument(
        "--patience", type=at_least(0), help="epochs without a better mAP after which it ends; 0: never (default: 30)"
    )
    group.add_argument(
        "--imgsz",
        type=at_least(64),
        help="side of the input in pixels (default: 416; ssd: 300 or 512; faster-rcnn: 320, vgg16: 608; yolo: 448)",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), help="(default: auto, cuda where there is one)")
    group.add_argument("--workers", type=at_least(1), help="threads that read pictures (default: all cores)")
    group.add_argument(
        "--resume", action="store_true", default=None, help="go on with the run in --out, with the settings it has"
    )
    group.add_argument("--backbone", choices=BACKBONES, help="of faster-rcnn (default: vgg16, as in the paper)")
    group.add_argument("--pretrained", type=Path, metavar="FILE", help="ImageNet weights of torchvision's vgg16, .pth")


def run(options: argparse.Namespace) -> int:
    """Train, with a line each 20 steps."""
    # A waiting OpenMP thread that spins takes the cores from whatever else runs: six times slower on a busy machine.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from watchline.engines.cores import cores

    options.threads = options.threads or cores()
    parser: argparse.ArgumentParser = options.parser
    for model, names in OWN.items():
        for name in set(names).difference(OWN[options.model]):
            if getattr(options, name) is not None:
                parser.error(f"--{name} goes with {model}, not with {options.model}")
    if options.system and options.system not in SYSTEMS[options.model]:
        parser.error(f"--system {options.system}: {options.model} has {' and '.join(SYSTEMS[options.model])}")
    if not options.data and not options.resume:
        parser.error("--data is missing: name what to train on")
    check_folder(parser, "--out", options.out)
    if options.cache:
        check_folder(parser, "--cache", options.cache)
    try:
        from watchline.cli import train_detector, train_text

        return {
            "yolov2": train_detector.yolov2,
            "yolo": train_detector.fixed_size,
            "ssd": train_detector.fixed_size,
            "faster-rcnn": train_detector.faster_rcnn,
            "mask-rcnn": _mask_rcnn,
            "segmenter": _segmenter,
            "captioner": _captioner,
            "vqa": _vqa,
            "lstm": train_text.language,
            "rnn": train_text.language,
            "deep-rnn": train_text.language,
            "bidirectional-rnn": train_text.tagger,
            "localizer": _localizer,
            "overfeat": _overfeat,
            "rcnn": _rcnn,
            "fast-rcnn": _fast_rcnn,
        }[options.model](options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("watchline"):
            raise
        parser.error(f"{NEEDED} ({error.name} is not installed)")


def start_of(options: argparse.Namespace, default: str = IMAGENET) -> Path | None:
    """The file of the network to go on from; None for ImageNet's backbone. Raises ModelNotFound: there is none."""
    from watchline.engines import zoo

    name = vars(options)["from"] or default
    return None if name == IMAGENET else zoo.find(name)


def _mask_rcnn(options: argparse.Namespace) -> int:
    from watchline.train import mask_rcnn

    recipe = settled(options, mask_rcnn.Recipe(), "steps", "batch", "seed")
    print(f"reading {', '.join(map(str, options.data))}", flush=True)
    sets = mask_rcnn.read(options.data)
    print(f"{sum(map(len, sets))} pictures, {sum(len(one.numbers) for s in sets for one in s)} people", flush=True)
    report(mask_rcnn.train(sets, options.out, recipe, options.threads, start_of(options)), recipe.steps)
    checkpoint = options.out / mask_rcnn.CHECKPOINT
    print(f"{checkpoint}: done, {recipe.steps} steps; watchline export {checkpoint} -o mask-rcnn.onnx")
    return DONE


def _segmenter(options: argparse.Namespace) -> int:
    from watchline.train import camvid, road_users, segment

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; segmenter takes one, in CamVid's layout")
    (folder,), start = options.data, start_of(options)
    for name in ("unlabelled", "boxed"):
        if getattr(options, name) and not start:
            options.parser.error(f"--{name}: what is learnt from them is what the network of --from sees; name one")
    recipe = settled(options, segment.Recipe(), "steps", "minutes", "batch", "seed")
    print(f"reading {folder}", flush=True)
    scenes = camvid.read(folder, "train")
    height = scenes[0].image.shape[0]
    others = [scene for place in options.unlabelled or () for scene in camvid.unlabelled(place, height)]
    others += road_users.read(options.boxed, height) if options.boxed else []
    print(f"{len(scenes)} pictures with labels, {len(others)} without", flush=True)
    steps = segment.train([*scenes, *others], options.out, recipe, options.threads, start)
    report(steps, None if recipe.minutes else recipe.steps)
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
    recipe = settled(options, captions.Recipe(), "system", "epochs", "seed")
    recipe = replace(recipe, photos=options.batch or recipe.photos)
    cache = options.cache or options.out
    checkpoint.make_folder(options.out)
    checkpoint.make_folder(cache)
    print(f"reading {folder}", flush=True)
    learn, dev = (split(folder, name, cache, say) for name in ("train", "dev"))
    steps = captions.steps_of(recipe, len(learn.photos))
    print(f"{len(learn.photos)} photos to learn from, {len(dev.photos)} to measure", flush=True)
    report(captions.train(learn, dev, options.out, recipe, options.threads, say), steps)
    file = options.out / captions.CHECKPOINT
    print(f"{file}: done, {steps} steps; watchline export {file} -o captioner.onnx")
    return DONE


def _vqa(options: argparse.Namespace) -> int:
    from watchline.models.vqa import SYSTEMS as NETWORKS
    from watchline.ops import wordnet
    from watchline.ops.wups import figures
    from watchline.train import checkpoint, vqa
    from watchline.train.vqa_data import split

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; vqa takes one, in DAQUAR's layout")
    (folder,) = options.data
    recipe = settled(options, vqa.Recipe(), "system", "steps", "seed")
    recipe = replace(recipe, photos=options.batch or recipe.photos)
    cache = _folders(options)
    say(f"reading {folder}")
    learn, test = (split(folder, name, cache, say) for name in ("train", "test"))
    say(f"{len(learn.asked)} questions to learn from, {len(test.asked)} to measure on")
    report(vqa.train(learn, options.out, recipe, options.threads), recipe.steps)
    file = options.out / vqa.CHECKPOINT
    model = NETWORKS[recipe.system].of(checkpoint.read(file)["model"])
    found = [[answer] for answer in vqa.answered(model, test)]
    near = wordnet.WordNet(wordnet.FOLDER).similarity if wordnet.FOLDER.is_dir() else None
    measured = figures(found, [one.answer for one in test.asked], near)
    say(f"test: {', '.join(f'{name} {value:.4f}' for name, value in measured.items())}")
    say(f"{file}: done, {recipe.steps} steps; watchline export {file} -o vqa.onnx")
    return DONE


def _localizer(options: argparse.Namespace) -> int:
    from watchline.models.localizer import Localizer
    from watchline.train import checkpoint, localizer
    from watchline.train.own_data import dataset

    recipe = settled(options, localizer.Recipe(), "boxes", "steps", "batch", "seed")
    say(f"reading {', '.join(map(str, options.data))}")
    data = localizer.of_one_object(dataset.read(options.data, recipe.seed))
    say(f"{len(data.train)} pictures with one object, of {', '.join(data.names)}; {len(data.val)} to measure on")
    cache = _folders(options)
    report(localizer.train(data, options.out, cache, recipe, options.threads, say), recipe.steps)
    file = options.out / localizer.CHECKPOINT
    classes = len(data.names)
    model = Localizer(classes, classes if recipe.boxes == "specific" else 1)
    model.load_state_dict(checkpoint.read(file)["model"])
    if data.val:
        figures = localizer.measure(model.eval(), data.val)
        say("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    say(f"{file}: done, {recipe.steps} steps; watchline export {file} -o localizer.onnx")
    return DONE


def _overfeat(options: argparse.Namespace) -> int:
    from watchline.train import overfeat
    from watchline.train.own_data import dataset

    recipe = settled(options, overfeat.Recipe(), "steps", "batch", "seed")
    say(f"reading {', '.join(map(str, options.data))}")
    data = dataset.read(options.data, recipe.seed)
    say(f"{len(data.names)} classes: {', '.join(data.names)}; {len(data.train)} pictures")
    cache = _folders(options)
    report(overfeat.train(data, options.out, cache, recipe, options.threads, say), recipe.steps)
    file = options.out / overfeat.CHECKPOINT
    say(f"{file}: done, {recipe.steps} steps; watchline export {file} -o overfeat.onnx")
    return DONE


def _rcnn(options: argparse.Namespace) -> int:
    from watchline.train import rcnn

    for name in ("steps", "batch"):
        if getattr(options, name):
            options.parser.error(f"--{name}: R-CNN's SVMs are solved, not trained step by step")
    recipe = settled(options, rcnn.Recipe(), "seed")
    data = _read(options, recipe.seed)
    rcnn.train(data, options.out, _folders(options), recipe, options.threads, say)
    file = options.out / rcnn.CHECKPOINT
    say(f"{file}: done; watchline export {file} -o rcnn.onnx")
    return DONE


def _fast_rcnn(options: argparse.Namespace) -> int:
    from watchline.train import fast_rcnn, region_recipe

    if options.steps and options.epochs:
        options.parser.error("--steps and --epochs: name one of them")
    if options.recipe and options.epochs:
        options.parser.error("--epochs does not go with --recipe, which has steps of its own")
    base = region_recipe.Recipe()
    data = _read(options, settled(options, base, "seed").seed)
    recipe_for = partial(fast_rcnn.recipe_for, len(data.train))
    recipe = settled_for(options, base, recipe_for, "epochs", "steps", "batch", "seed")
    cache = _folders(options)
    report(fast_rcnn.train(data, options.out, cache, recipe, options.threads, say), recipe.steps)
    file = options.out / fast_rcnn.CHECKPOINT
    say(f"{file}: done, {recipe.steps} steps; watchline export {file} -o fast-rcnn.onnx")
    return DONE


def _read(options: argparse.Namespace, seed: int) -> "DataSet":
    """The checked data, with a line of what it is and one for each note. Args: seed, of its split if it has none."""
    from watchline.train.own_data import dataset

    say(f"reading {', '.join(map(str, options.data))}")
    data = dataset.read(options.data, seed)
    for note in data.notes:
        say(f"note: {note}")
    say(f"{len(data.names)} classes: {', '.join(data.names)}; {len(data.train)} pictures")
    return data


def _folders(options: argparse.Namespace) -> Path:
    """Make the folders of the run. Returns that of its cache. Raises CheckpointError: one cannot be made."""
    from watchline.train import checkpoint

    cache: Path = options.cache or options.out
    checkpoint.make_folder(options.out)
    checkpoint.make_folder(cache)
    return cache
