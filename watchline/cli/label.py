"""`watchline label DIR --model MODEL`: label photos with detectors, to train another one on them."""

import argparse
import sys
import time
from pathlib import Path

from watchline.cli.arguments import share, words
from watchline.cli.exit_codes import DONE, SOME_FAILED
from watchline.cli.output_folder import check_folder
from watchline.cli.train_report import say

PAUSE = 10.0  # seconds between lines


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "label",
        help="label photos with detectors, to train on them",
        description="Label photos with one or several detectors, as YOLO text with a data.yaml. Each photo, its mirror "
        "image and four enlarged parts are looked at, and what is found is merged. Boxes that are not sure are "
        "written separately: check them, and move the right ones to the labels.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of photos, which may have folders")
    parser.add_argument(
        "--model",
        action="append",
        metavar="FILE|NAME",
        help="a detector: a model of Watchline, or the ONNX of a known family; several label together "
        "(default: yolov2-lite0)",
    )
    parser.add_argument("--out", type=Path, default=Path("labelled"), help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--classes", type=words, metavar="NAME,…", help="label only these (default: all that they know)"
    )
    parser.add_argument("--sure", type=share, default=0.4, metavar="X", help="lowest score of a label (default: 0.4)")
    parser.add_argument(
        "--unsure", type=share, default=0.15, metavar="X", help="lowest score of a box to check (default: 0.15)"
    )
    parser.add_argument("--runtime", metavar="NAME", help="as `watchline annotate` has it")
    return parser


def run(options: argparse.Namespace) -> int:
    """Label, with a line now and then."""
    from watchline.engines import zoo
    from watchline.train import labelling
    from watchline.train.teachers import open_detector

    if options.unsure > options.sure:
        options.parser.error(f"--unsure {options.unsure} is above --sure {options.sure}: expected at most that")
    check_folder(options.parser, "--out", options.out)
    total = len(labelling.photos_in(options.folder, options.out))
    engines = [open_detector(zoo.find(name), options.runtime, name) for name in options.model or [zoo.DEFAULT]]
    names = labelling.names_of(engines, options.classes)
    teachers = labelling.teachers_of(engines, names)
    limits = labelling.Thresholds(options.sure, options.unsure)
    photos = labelling.write(options.folder, options.out, teachers, names, limits)
    say(f"{total} photos, {len(engines)} detector{'s' * (len(engines) > 1)}, {len(names)} classes")
    began = shown = time.monotonic()
    done = sure = unsure = kept = 0
    failed: list[str] = []
    for counts in photos:
        done += 1
        if isinstance(counts, str):
            failed.append(counts)
        elif counts:
            sure, unsure = sure + counts[0], unsure + counts[1]
        else:
            kept += 1
        if (now := time.monotonic()) - shown > PAUSE and done > kept:
            minutes, seconds = divmod(round((now - began) / (done - kept) * (total - done)), 60)
            say(f"{done}/{total} photos, {sure} boxes, {unsure} to check, ETA {minutes}:{seconds:02d}")
            shown = now
    before = f", {kept} were labelled before" if kept else ""
    say(f"{options.out}: {done - len(failed)} photos{before}; {sure} boxes in labels, {unsure} to check in unsure")
    for line in failed:
        print(f"watchline: failed: {line}", file=sys.stderr)
    say(f"next: watchline train yolov2 --data {options.out / labelling.YAML} --out run")
    return SOME_FAILED if failed else DONE
