"""`watchline export CHECKPOINT... -o FILE`: from a trained checkpoint to a model that the pipeline runs."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least, factors, preparation, share, size
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE, SOME_FAILED
from watchline.engines import runtimes
from watchline.engines.resizing import RESIZES
from watchline.engines.runtimes import ONNX, Runtime

if TYPE_CHECKING:
    import onnx

    from watchline.measure.drop import Drop

USUAL = runtimes.running(ONNX.suffix)[0]
TARGETS = {"onnx": USUAL} | {runtime.name: runtime for runtime in runtimes.RUNTIMES if runtime.own}
PRECISIONS = ("fp32", "fp16", "int8")
PICTURES = 200  # that INT8's ranges are taken from
BATCH = 4  # the largest batch of a TensorRT plan, if nobody says


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "export",
        help="make a model of a trained checkpoint: Darknet, PyTorch or ONNX",
        description="Make a model that the pipeline runs of a trained checkpoint: Darknet's .cfg and .weights, "
        "a PyTorch state dict, or an ONNX detector; what kind it is, the file says. Or make a model in another "
        "precision or for another runtime: of a file of ours, or of one that ships, by its name.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="CHECKPOINT", help="net.cfg net.weights, net.pth or net.onnx; or e.g. yolov2-slim"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="the model to write (default: CHECKPOINT.onnx)")
    parser.add_argument(
        "--to",
        choices=list(TARGETS),
        help="what runs it (default: by the suffix of FILE, else onnx); tensorrt to a FILE.onnx makes no plan yet",
    )
    parser.add_argument("--arch", metavar="NAME", help="network of a PyTorch state dict, where its names do not tell")
    parser.add_argument("--family", metavar="NAME", help="family of an ONNX detector: yolox, ultralytics, nanodet, …")
    parser.add_argument(
        "--input", type=preparation, metavar="WORDS", help="how an ONNX detector takes pictures, if not as its family "
        "does, e.g. bgr,0..255 or rgb,0..1,mean=0.485/0.456/0.406,std=0.229/0.224/0.225,stretch"
    )  # fmt: skip
    parser.add_argument(
        "--epsilon", type=share, metavar="X", help="of a torchvision network's frozen normalisation: 0 if it was "
        "fine-tuned from torchvision's weights for COCO"
    )  # fmt: skip
    parser.add_argument("--imgsz", type=size, metavar="N|WxH", help="input in pixels (default: the checkpoint's own)")
    parser.add_argument(
        "--scales", type=factors, metavar="0.75,1,1.25", help="of Mask R-CNN: sizes in which it looks at a "
        "picture, as factors; what it finds is combined"
    )  # fmt: skip
    parser.add_argument("--resize", choices=RESIZES, help="how pictures become that size (default: the network's own)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE|coco|voc",
        help="class names: one a line, or a data.yaml or JSON with `names`",
    )
    parser.add_argument(
        "--batch", type=at_least(1), metavar="N", help=f"largest batch of a TensorRT plan (default: {BATCH})"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="(default: %(default)s)")
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="PATH",
        help=f"videos and photos, of which {PICTURES} pictures give the ranges of INT8: what the cameras will see",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="labelled pictures, to measure on")
    parser.add_argument(
        "--max-drop", type=share, metavar="X", help="write nothing if the mAP on --data falls by more than this"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Export, measure what the precision costs, write; a line for each step on stdout."""
    paths = [_file_of(word) for word in options.inputs]
    out = _checked(options, paths)
    write = _writer(options, out)  # before anything is computed in vain
    if options.data:
        from watchline.measure.layouts.known import open_data

        open_data(options.data)  # likewise
    started = time.monotonic()
    with ExitStack() as stack:
        with _writing(out):
            folder = stack.enter_context(TemporaryDirectory(prefix=".watchline-export-", dir=out.parent))
        full = Path(folder) / f"{out.stem}.onnx"
        model = _converted(options, paths, out)
        with _writing(out):
            _save(model, full)
        result = _precise(options, full)
        if options.data and not _bearable(options, full, result):
            return SOME_FAILED
        with _writing(out):
            files = write(result, out, options.batch or BATCH)
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    names = " and ".join(map(str, files))
    print(f"{names}: {options.precision}, {megabytes:.1f} MB, {time.monotonic() - started:.0f} s")
    print(_next(options, model, out))
    return DONE


def _file_of(word: str) -> Path:
    """A checkpoint, or the model that ships under this name."""
    from watchline.engines import zoo

    return zoo.find(word) if word in zoo.names() else Path(word)


def _next(options: argparse.Namespace, model: "onnx.ModelProto", out: Path) -> str:
    """What a user may do with it."""
    from watchline.engines import metadata
    from watchline.engines.tasks import TASKS

    task = metadata.of(model, str(out)).task
    target = TARGETS[options.to]
    runtime = "" if runtimes.running(out.suffix.lower())[0] is target else f" --runtime {target.name}"
    if task == "answer":
        return f'next: watchline ask PHOTO "QUESTION" --model {out}{runtime}'
    option = "model" if TASKS[task].finds_boxes else task  # --segment and --caption are called as the tasks are
    return f"next: watchline annotate VIDEO --{option} {out}{runtime}"


def _checked(options: argparse.Namespace, paths: list[Path]) -> Path:
    """The file to write; leaves by argparse's usage error where the flags do not go together."""
    parser: argparse.ArgumentParser = options.parser
    if not paths:
        parser.error("what? name a checkpoint: net.cfg net.weights, net.pth or net.onnx")
    by_suffix = {runtime.own: name for name, runtime in TARGETS.items()}
    options.to = options.to or (by_suffix.get(options.out.suffix.lower(), "onnx") if options.out else "onnx")
    suffixes = _suffixes(TARGETS[options.to])
    out: Path = options.out or Path(paths[-1].name or "model").with_suffix(suffixes[0])  # `.` and `/` have no name
    if out.suffix.lower() not in suffixes:
        parser.error(f"--out {out}: a model for {options.to} ends on {' or '.join(suffixes)}")
    if not out.parent.is_dir():
        parser.error(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        parser.error(f"--out {out}: it is a folder; name the file to write")
    plan = out.suffix.lower() != ONNX.suffix and TARGETS[options.to].gpu
    written = [out, out.with_suffix(ONNX.suffix)] if plan else [out]
    if any(file.exists() and path.exists() and file.samefile(path) for file in written for path in paths):
        parser.error(f"--out {out} would be written over the checkpoint itself; name another file: -o NAME{out.suffix}")
    if (options.precision == "int8") != bool(options.calibrate):
        parser.error("--precision int8 and --calibrate PATH… go together: INT8 needs pictures to take its ranges from")
    if options.max_drop is not None and not options.data:
        parser.error("--max-drop is measured on labelled pictures: name them with --data DIR")
    if options.data and options.precision == "fp32":
        parser.error("--data measures what FP16 or INT8 costs; `watchline bench map` measures a model")
    if options.batch and not plan:
        parser.error("--batch is the largest batch of a TensorRT plan; the other models take batches of any size")
    return out


def _suffixes(target: Runtime) -> list[str]:
    """Suffixes of what can be written for a runtime, the default first. A GPU's own format may also be made later."""
    if target.own is None:
        return [ONNX.suffix]
    return [target.own, ONNX.suffix] if target.gpu else [target.own]


def _writer(options: argparse.Namespace, out: Path) -> Callable[[Path, Path, int], tuple[Path, ...]]:
    """The function that makes the file from an ONNX file. Raises RuntimeUnavailable: this machine cannot make it."""

    def move(model: Path, file: Path, _: int) -> tuple[Path, ...]:
        model.replace(file)
        return (file,)

    return move if out.suffix.lower() == ONNX.suffix else TARGETS[options.to].module().writer()


def _converted(options: argparse.Namespace, paths: list[Path], out: Path) -> "onnx.ModelProto":
    """The checkpoint in FP32."""
    from watchline.engines import metadata
    from watchline.engines.tasks import TASKS
    from watchline.export import labels
    from watchline.export.again import again, is_ours
    from watchline.export.checkpoint import to_onnx
    from watchline.export.errors import ExportRefused
    from watchline.export.request import Request

    sides = options.imgsz
    request = Request(
        name=out.stem,
        labels=labels.read(options.labels) if options.labels else None,
        size=(sides, sides) if isinstance(sides, int) else tuple(sides) if sides else None,
        resize=options.resize,
        input=options.input,
        epsilon=options.epsilon,
        scales=options.scales,
    )
    if len(paths) == 1 and is_ours(paths[0]):
        called = options.inputs[0]
        if options.precision == "fp32" and TARGETS[options.to] is USUAL and not (request.size or request.scales):
            raise ExportRefused(
                f"{called}: it is a Watchline model, and runs as it is; --precision or --to makes another of it"
            )
        model = again(paths[0], called, request, options.arch, options.family)
    else:
        model = to_onnx(paths, request, options.arch, options.family)
    about = metadata.of(model, str(out))
    task = TASKS[about.task]
    if options.data and not task.finds_boxes:
        raise ExportRefused(
            f"{options.inputs[0]}: its task is to {about.task}, and --data measures detectors; leave that out"
        )
    pixels = " x ".join(str(side) for side in dict.fromkeys(request.size or about.size))
    print(f"{' + '.join(options.inputs)}: {task.does} {len(about.labels)} {task.labels} at {pixels} pixels", flush=True)
    if model.doc_string:
        print(model.doc_string, flush=True)
    return model


def _precise(options: argparse.Namespace, full: Path) -> Path:
    """The model in the precision that was asked for, and the full one; for FP32 both are the same."""
    if options.precision == "fp32":
        return full
    import onnx

    from watchline.engines import load
    from watchline.export.precision import fp16, int8
    from watchline.measure import calibration

    model = onnx.load(full)
    if options.precision == "fp16":
        if not TARGETS[options.to].gpu:
            print(f"watchline: {fp16.SLOW_ON_CPUS}", file=sys.stderr)
        model = fp16.half(model)
    else:
        with load(full) as engine:
            about, sides = engine.metadata, engine.size
        pictures = calibration.pictures(options.calibrate, PICTURES, about, sides)
        print(f"INT8 ranges from {len(pictures)} pictures", flush=True)
        with counting("pictures") as progress:
            model = int8.quantise(model, pictures, TARGETS[options.to].int8, progress)
    result = full.with_name(f"{full.stem}-{options.precision}.onnx")
    _save(model, result)
    return result


def _bearable(options: argparse.Namespace, full: Path, result: Path) -> bool:
    """Print what the precision costs. Returns whether --max-drop allows it."""
    from watchline.engines import cpu
    from watchline.measure import drop

    runtime = (USUAL if TARGETS[options.to].gpu else TARGETS[options.to]).name
    with counting("pictures") as progress:
        lost: Drop = drop.compare(full, result, options.data, runtime, progress)
    print(f"{lost.table()}\n\nby {runtime} on {cpu.kind()}", flush=True)
    if options.max_drop is None or lost.mean <= options.max_drop:
        return True
    print(
        f"watchline: {options.precision} loses {lost.mean:.3f} mAP on {options.data}, more than --max-drop "
        f"{options.max_drop}; nothing was written",
        file=sys.stderr,
    )
    return False


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """A disk that is full, and the like, in a line."""
    from watchline.export.errors import ExportRefused

    try:
        yield
    except OSError as error:
        raise ExportRefused(f"{out}: it cannot be written ({error.strerror or error}); name another place") from error


def _save(model: "onnx.ModelProto", path: Path) -> None:
    import onnx

    onnx.save(model, path)
