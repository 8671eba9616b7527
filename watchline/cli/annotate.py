"""`watchline annotate INPUT... --out DIR`: videos and photos in, annotated ones and their events out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli import annotate_job
from watchline.cli.annotate_job import add_resuming, is_resuming
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from watchline.cli.formats import add_formats, check_formats, write_formats
from watchline.cli.listed import add_list, listed
from watchline.cli.results import check_report, tell, write_report
from watchline.cli.settings import ONLY_LIVE, add_names, add_settings, flags_of, names_of, of_streams
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.config import Config
    from watchline.pipeline.sinks.files import Files
    from watchline.streams.source import Source


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
    parser.add_argument("--recursive", action="store_true", help="search the folders' subfolders too")
    add_list(parser)
    add_resuming(parser)
    add_formats(parser)
    add_names(parser)
    add_settings(parser, live=False)
    return parser


def run(options: argparse.Namespace) -> int:
    """Annotate everything, show the progress on stderr, print the report on stdout."""
    from watchline.cli.progress import display, work
    from watchline.pipeline import config
    from watchline.pipeline.annotate import Annotate
    from watchline.pipeline.job import Job
    from watchline.pipeline.sinks.files import Files

    names = names_of(options)
    if options.once and not is_resuming(options):
        options.parser.error("--once needs --resume: the manifest knows what the content of files is")
    if options.shard and options.format:
        options.parser.error("--format needs all parts: `watchline convert OUT --to …` when they are done")
    for name in ("processes", "ray"):
        if getattr(options, name) and not is_resuming(options):
            options.parser.error(f"--{name} needs --resume: it is by the manifest that processes share the files")
    settings = config.load(options.config, flags_of(options), options.stage, [*options.inputs, *names.values()])
    options.conceal = settings.conceal
    if not options.inputs and not names and not settings.streams and options.list is None:
        options.parser.error("what? name videos, folders or patterns, or a --list, or a --config with streams")
    out = _checked_out(options, settings)
    if options.member:
        return annotate_job.take_part(options, settings)
    _tell_left_out(options, settings)
    sources, failed = _gather(options, names, settings, out)
    if options.shard:
        sources = [source for source in sources if options.shard.has(source.stream)]
    _check_single(options, out, sources)
    check_report(options, sources)
    check_formats(options, out, settings.overwrite or (is_resuming(options) and annotate_job.is_known(options, out)))
    if is_resuming(options):
        return annotate_job.work(options, settings, out, sources, failed)
    files = Files(out, None if options.no_video else settings.video, overwrite=settings.overwrite)
    sources, there = _without_those_that_are_there(files, sources)
    failed += there
    stopped = False
    if sources:
        sinks = [files, *settings.sinks]
        job = Annotate(Job(sources, settings.chain(sinks), sinks, conceal=settings.conceal))
        stopped = work(job, display(options.verbose))
        tell(job, settings.conceal, sys.stdout)
        failed += [f"{outcome.name}: {outcome.error}" for outcome in job.outcomes if outcome.error]
        if options.report:
            failed += write_report(options.report, job, settings.conceal)
        if not stopped:
            outputs = (path for outcome in job.outcomes for path in outcome.outputs)
            failed += write_formats(options, out, outputs, settings.overwrite)
    for line in failed:
        print(f"watchline: failed: {concealed_text(settings.conceal(line))}", file=sys.stderr)
    return INTERRUPTED if stopped else SOME_FAILED if failed else DONE


def _checked_out(options: argparse.Namespace, settings: "Config") -> Path:
    """Where the outputs go; leaves by argparse's usage error where that cannot be."""
    from watchline.pipeline.job import ANNOTATED
    from watchline.streams.inputs import VIDEO_SUFFIXES

    parser: argparse.ArgumentParser = options.parser
    out = settings.out or ANNOTATED
    if out.suffix.lower() in VIDEO_SUFFIXES - {".mp4"} and not out.is_dir():
        parser.error(f"--out {out}: videos are written as .mp4; name a folder or a .mp4")
    return out


def _tell_left_out(options: argparse.Namespace, settings: "Config") -> None:
    """A config may be that of `watchline run` as well: say what of it files cannot obey."""
    names = " and ".join(name for name in ONLY_LIVE if name in settings.given)
    if names:
        why = "files are written whole, and no frame is dropped; `watchline run` obeys it for cameras"
        print(f"watchline: {options.config}: {names} left out: {why}", file=sys.stderr)


def _gather(
    options: argparse.Namespace, names: dict[str, str], settings: "Config", out: Path
) -> "tuple[list[Source], list[str]]":
    """The sources, and a line for each input that leads nowhere. Inputs of the command line replace the config's."""
    from watchline.pipeline.intake import is_live
    from watchline.pipeline.streams import named, typed
    from watchline.streams.inputs import Search

    if options.inputs or names or options.list is not None:
        by_path = options.recursive or options.list is not None or is_resuming(options)
        search = Search(options.recursive, by_path, without=out)
        gathered = typed(options.inputs, names, of_streams(options), listed(options), search)
    else:
        gathered = named(settings.streams)
    sources, problems = [], gathered.problems
    for source in gathered.sources:
        if is_live(source):
            problems.append(f"{source.stream}: {source.name} is watched while it plays: use `watchline run`")
        else:
            sources.append(source)
    return sources, problems


def _check_single(options: argparse.Namespace, out: Path, sources: "list[Source]") -> None:
    """A file as the output takes one video, no more and no photos."""
    from watchline.streams.photos import PhotosSource

    if out.suffix != ".mp4":
        return
    if is_resuming(options):
        options.parser.error(f"--out {out} is one video, but a job with a manifest has many; name a folder")
    if options.no_video:
        options.parser.error(f"--out {out} is a video, but --no-video says to write none; name a folder")
    photos = any(isinstance(source, PhotosSource) for source in sources)
    if len(sources) > 1 or photos:
        what = "photos" if photos else f"{len(sources)} videos"
        options.parser.error(f"--out {out} is one video, but the input is {what}; name a folder")


def _without_those_that_are_there(files: "Files", sources: "list[Source]") -> "tuple[list[Source], list[str]]":
    """Sources whose outputs can be written, and a line for each other one, before a model is loaded for it.

    Several folders of photos are written to folders of their own, however many are left; their writers refuse.
    """
    from watchline.pipeline.job import inputs_of, name_of
    from watchline.streams.errors import SinkError
    from watchline.streams.photos import PhotosSource
    from watchline.streams.write.paths import refuse_input

    inputs = [path for source in sources for path in inputs_of(source)]
    several = sum(isinstance(source, PhotosSource) for source in sources) > 1
    free, there = [], []
    for source in sources:
        are_photos = isinstance(source, PhotosSource)
        events, video = files.paths_of(source.stream)
        paths = [] if are_photos and several else [events]
        paths += [video] if files.video and not are_photos else []
        try:
            for path in filter(Path.exists, paths):
                refuse_input(path, inputs)
                files.refuse_if_there(path)
            free.append(source)
        except SinkError as error:
            there.append(f"{name_of(source)}: {error}")
    return free, there
