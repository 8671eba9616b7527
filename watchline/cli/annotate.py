"""`watchline annotate INPUT... --out DIR`: videos and photos in, annotated ones and their events out."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import watchline
from watchline.cli.arguments import at_least, size, words
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED

if TYPE_CHECKING:
    from watchline.pipeline.annotate import Annotate
    from watchline.pipeline.config import Config, Flag
    from watchline.streams.source import Source

OUT = Path("annotated")  # where outputs go if nobody says
MANY = 4  # files of a stream beyond which they are not all listed

# flag -> where its value stands in the config
SETTINGS = {
    "every": ("detector", "every"),
    "conf": ("detector", "conf"),
    "iou": ("detector", "iou"),
    "classes": ("detector", "classes"),
    "model": ("detector", "model"),
    "runtime": ("detector", "runtime"),
    "imgsz": ("detector", "imgsz"),
    "workers": ("detector", "workers"),
    "preset": ("video", "preset"),
    "out": ("", "out"),
}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "annotate",
        help="annotate videos and photos, and write what was found",
        description="Write an annotated NAME.mp4 and its events, NAME.jsonl, for each input.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="video file, folder of videos or photos, or pattern 'glob/*.mkv'"
    )
    parser.add_argument(
        "--out", metavar="DIR|FILE.mp4", help="folder for the outputs (default: annotated); a file for a single video"
    )
    parser.add_argument("--no-video", action="store_true", help="write the events only")
    parser.add_argument("--every", type=int, metavar="N", help="look at every n-th frame only")
    parser.add_argument("--conf", type=float, help="leave out what has a lower score, 0 to 1 (default: 0.25)")
    parser.add_argument("--iou", type=float, help="of two boxes that overlap more, one stays, 0 to 1 (default: 0.45)")
    parser.add_argument("--classes", type=words, metavar="person,car", help="look for these only")
    parser.add_argument("--model", metavar="FILE|NAME", help="a model file, or one that `watchline models` lists")
    parser.add_argument("--runtime", metavar="NAME", help="onnxruntime, openvino or tensorrt")
    parser.add_argument("--imgsz", type=size, metavar="N|WxH", help="pixels of the network's input")
    parser.add_argument("--workers", type=at_least(1), metavar="N", help="engines side by side (default: one a core)")
    parser.add_argument("--preset", help="of the video encoder: ultrafast … veryslow (default: superfast)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there as well")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags are stronger")
    return parser


def run(options: argparse.Namespace) -> int:
    """Annotate everything, show the progress on stderr, print the report on stdout."""
    from watchline.pipeline import config
    from watchline.pipeline.annotate import Annotate

    settings = config.load(options.config, _flags(options))
    options.conceal = settings.conceal
    if not options.inputs and not settings.streams:
        options.parser.error("what? name videos, folders or patterns, or a --config with streams")
    out = _checked_out(options, settings)
    sources, failed = _sources(options.inputs, settings)
    _check_single(options, out, sources)
    stopped = False
    if sources:
        video = None if options.no_video else settings.video
        job = Annotate(sources, settings.detector, settings.annotator, out, video)
        stopped = _work(job, plain=options.verbose)
        print(job.report.as_text())
        _tell(job, settings)
        failed += [f"{outcome.name}: {outcome.error}" for outcome in job.outcomes if outcome.error]
        if options.report:
            failed += _write_report(options.report, job, settings.conceal)
    for line in failed:
        print(f"watchline: failed: {settings.conceal(line)}", file=sys.stderr)
    return INTERRUPTED if stopped else SOME_FAILED if failed else DONE


def _flags(options: argparse.Namespace) -> "list[Flag]":
    from watchline.pipeline.config import Flag

    given = {name: getattr(options, name) for name in SETTINGS}
    return [Flag(f"--{name}", *SETTINGS[name], value) for name, value in given.items() if value is not None]


def _checked_out(options: argparse.Namespace, settings: "Config") -> Path:
    """Where the outputs go; leaves by argparse's usage error where that cannot be."""
    from watchline.streams.inputs import VIDEO_SUFFIXES

    parser: argparse.ArgumentParser = options.parser
    out = settings.out or OUT
    if out.suffix.lower() in VIDEO_SUFFIXES - {".mp4"} and not out.is_dir():
        parser.error(f"--out {out}: videos are written as .mp4; name a folder or a .mp4")
    report = options.report
    if report and (report.is_dir() or not report.absolute().parent.is_dir()):
        parser.error(f"--report {report}: expected the name of a file in a folder that is there")
    return out


def _sources(inputs: list[str], settings: "Config") -> "tuple[list[Source], list[str]]":
    """The sources, and a line for each input that leads nowhere. Inputs of the command line replace the config's."""
    from watchline.pipeline.config import find_source
    from watchline.streams.errors import StreamError
    from watchline.streams.inputs import find_sources

    if inputs:
        found = find_sources(inputs)
        return [*found.sources], [str(problem) for problem in found.problems]
    sources, problems = [], []
    for stream, word in settings.streams.items():
        try:
            sources.append(find_source(stream, word))
        except StreamError as problem:
            problems.append(str(problem))
    return sources, problems


def _check_single(options: argparse.Namespace, out: Path, sources: "list[Source]") -> None:
    """A file as the output takes one video, no more and no photos."""
    from watchline.streams.photos import PhotosSource

    if out.suffix != ".mp4":
        return
    if options.no_video:
        options.parser.error(f"--out {out} is a video, but --no-video says to write none; name a folder")
    photos = any(isinstance(source, PhotosSource) for source in sources)
    if len(sources) > 1 or photos:
        what = "photos" if photos else f"{len(sources)} videos"
        options.parser.error(f"--out {out} is one video, but the input is {what}; name a folder")


def _work(job: "Annotate", plain: bool) -> bool:
    """Do the job. Returns whether it was stopped by a signal."""
    from watchline.cli.interrupt import first_stops
    from watchline.cli.progress import display

    shown = display(plain)
    try:
        with first_stops(job.stop) as signals:
            for progress in job.run():
                shown.show(progress)
    finally:
        shown.close()
    return bool(signals)


def _tell(job: "Annotate", settings: "Config") -> None:
    """What was written, and what was odd about it."""
    print()
    for outcome in job.outcomes:
        files = [str(path) for path in outcome.outputs]
        if len(files) > MANY:
            files = [*files[: MANY - 1], f"{len(files) - MANY + 1} more"]
        print(f"{outcome.stream}: {settings.conceal(', '.join(files)) or 'nothing'} written")
        for note in outcome.notes:
            print(f"{outcome.stream}: {settings.conceal(note)}", file=sys.stderr)


def _write_report(path: Path, job: "Annotate", conceal: Callable[[str], str]) -> list[str]:
    """Write the report as JSON, without the config's secrets. Returns why not, if not."""
    from dataclasses import asdict

    streams = [asdict(outcome) for outcome in job.outcomes]
    report = {"version": watchline.__version__, **job.report.as_dict(), "outcomes": streams}
    try:
        path.write_text(json.dumps(_concealed(report, conceal), indent=2) + "\n")
    except OSError as error:
        return [f"{path}: the report cannot be written: {error.strerror}"]
    return []


def _concealed(value: Any, conceal: Callable[[str], str]) -> Any:
    """What JSON can hold, every text and path in it concealed; keys are names of fields and streams."""
    match value:
        case dict():
            return {key: _concealed(inner, conceal) for key, inner in value.items()}
        case list() | tuple():
            return [_concealed(inner, conceal) for inner in value]
        case str() | Path():
            return conceal(str(value))
        case _:
            return value
