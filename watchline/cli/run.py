"""`watchline run SOURCE...`: watch cameras and files until Ctrl-C or their end."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from watchline.cli.results import check_report, tell, write_report
from watchline.cli.settings import add_names, add_settings, flags_of, names_of, of_streams
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.config import Config
    from watchline.pipeline.sinks.sink import Sink
    from watchline.pipeline.streams import Gathered
    from watchline.pipeline.watch import Watch
    from watchline.streams.source import LiveSource, Source


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "run",
        help="watch cameras, many at once, and write what is seen",
        description="Watch cameras and files at once. Each has an annotated video and its events in the output folder; "
        "a camera's are called after the time of their beginning.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="SOURCE",
        help="rtsp://user:password@host/path, http://…, 0 or /dev/video0, a video file, or a config, FILE.toml",
    )
    parser.add_argument("--jsonl", metavar="-|FILE", help="write the events of all streams there, - is stdout")
    add_names(parser)
    add_settings(parser, live=True)
    return parser


def run(options: argparse.Namespace) -> int:
    """Watch everything, show how it stands on stderr, print the report at the end."""
    from watchline.pipeline import config

    _take_config(options)
    names = names_of(options)
    settings = config.load(options.config, flags_of(options), options.stage, [*options.inputs, *names.values()])
    conceal = options.conceal = settings.conceal
    gathered = _gather(options, names, settings)
    failed = [*gathered.problems]
    _tell_failed(failed, conceal)  # now, as the end may be months away
    stopped = False
    if gathered.sources:
        watch = _watch(options, settings, gathered.sources)
        stopped = _work(watch, plain=options.verbose)
        tell(watch, conceal, sys.stderr if options.jsonl == "-" else sys.stdout)
        failed += [f"{outcome.name}: {outcome.error}" for outcome in watch.outcomes if outcome.error]
        stopped = stopped and any(outcome.interrupted for outcome in watch.outcomes)
        if options.report:
            failed += write_report(options.report, watch, conceal)
        _tell_failed(failed[len(gathered.problems) :], conceal)
    return INTERRUPTED if stopped else SOME_FAILED if failed else DONE


def _tell_failed(failed: list[str], conceal: Callable[[str], str]) -> None:
    for line in failed:
        print(f"watchline: failed: {concealed_text(conceal(line))}", file=sys.stderr)


def _take_config(options: argparse.Namespace) -> None:
    """`watchline run watchline.toml` is `watchline run --config watchline.toml`."""
    configs = [word for word in options.inputs if word.lower().endswith(".toml")]
    if not configs:
        return
    if len(options.inputs) > 1 or options.config or options.name:
        options.parser.error(f"{configs[0]} is a config and holds the sources: give only flags with it")
    options.config, options.inputs = Path(configs[0]), []


def _gather(options: argparse.Namespace, names: dict[str, str], settings: "Config") -> "Gathered":
    """The sources of the command line or, without any, of the config."""
    from watchline.pipeline.streams import named, typed

    if options.inputs or names:
        if options.loop and not options.realtime:
            options.parser.error("--loop needs --realtime: only a file that plays at its own speed can begin anew")
        return typed(options.inputs, names, of_streams(options))
    if not settings.streams:
        options.parser.error("what? name cameras or files, or a config with streams, e.g. watchline.toml")
    return named(settings.streams)


def _watch(options: argparse.Namespace, settings: "Config", sources: "list[Source | LiveSource]") -> "Watch":
    from watchline.pipeline.job import ANNOTATED, Job
    from watchline.pipeline.sinks.files import Files
    from watchline.pipeline.sinks.jsonl import Jsonl
    from watchline.pipeline.watch import Watch

    check_report(options, sources)
    out = settings.out or (None if options.jsonl else ANNOTATED)
    if out and (out.suffix.lower() == ".mp4" or out.is_file()):
        options.parser.error(f"--out {out}: expected a folder, as every stream has files of its own")
    sinks: list[Sink] = []
    if out:
        sinks.append(Files(out, None if options.no_video else settings.video, settings.split, settings.overwrite))
    if options.jsonl:
        sinks.append(Jsonl(None if options.jsonl == "-" else Path(options.jsonl)))
    sinks += settings.sinks
    return Watch(Job(sources, settings.chain(sinks), sinks, settings.latency_budget, options.conceal))


def _work(watch: "Watch", plain: bool) -> bool:
    """Watch, and show how it stands. Returns whether it was stopped by a signal."""
    from watchline.cli.interrupt import first_stops
    from watchline.cli.status import display

    with display(watch.status, plain) as shown, first_stops(watch.stop, shown.say) as signals:
        for _ in watch.run():
            pass  # the display asks by itself
    return bool(signals)
