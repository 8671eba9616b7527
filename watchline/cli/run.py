"""`watchline run SOURCE...`: watch cameras, and files beside them, until Ctrl-C or their end."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.annotate import OUT
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from watchline.cli.results import check_report, tell, write_report
from watchline.cli.settings import add_settings, flags_of
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.config import Config, Flag
    from watchline.pipeline.streams import Gathered
    from watchline.pipeline.watch import Watch
    from watchline.streams.source import LiveSource, Source
    from watchline.streams.write.jsonl import JsonlWriter


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
    parser.add_argument("--out", metavar="DIR", help="folder for the outputs (default: annotated; none with --jsonl)")
    parser.add_argument("--jsonl", metavar="-|FILE", help="write the events of all streams there, - is stdout")
    parser.add_argument("--split", metavar="10m", help="begin new files after so long, by the clock (default: 1h)")
    parser.add_argument("--latency-budget", metavar="TIME", help="drop a camera's frame that is older (default: 500ms)")
    parser.add_argument("--transport", choices=("tcp", "udp"), help="of RTSP (default: tcp)")
    parser.add_argument(
        "--realtime", action="store_true", default=None, help="play files at their own speed, as if they were cameras"
    )
    parser.add_argument(
        "--loop", action="store_true", default=None, help="begin files that play at their own speed anew at their end"
    )
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="STAGE=WHERE",
        help="run a stage elsewhere: detector=process, or detector=tcp://host:port (see `watchline stage`)",
    )
    parser.add_argument("--key", metavar="FILE.key", help="this host's key, made by `watchline keys`")
    parser.add_argument("--peer", metavar="FILE.pub", help="the public key of the host that a stage is placed on")
    add_settings(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Watch everything, show how it stands on stderr, print the report at the end."""
    from watchline.pipeline import config
    from watchline.streams import address

    _take_config(options)
    flags = [*flags_of(options), *_places(options)]
    if options.inputs:  # they replace the config's streams
        flags = [flag for flag in flags if flag.table != "streams"]
    settings = config.load(options.config, flags)

    def conceal(text: str) -> str:
        return address.conceal_all(settings.conceal(text), options.inputs)

    options.conceal = conceal
    gathered = _gather(options, settings)
    failed = [*gathered.problems]
    _tell_failed(failed, conceal)  # now, as the end may be months away
    stopped = False
    if gathered.sources:
        with _shared_events(options.jsonl, gathered.sources) as events:
            watch = _watch(options, settings, gathered.sources, events)
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
    if len(options.inputs) > 1 or options.config:
        options.parser.error(f"{configs[0]} is a config and holds the sources: name nothing beside it but flags")
    options.config, options.inputs = Path(configs[0]), []


def _places(options: argparse.Namespace) -> "list[Flag]":
    """`--place detector=process` as a setting of the table [place]."""
    from watchline.pipeline.config import Flag

    flags = []
    for word in options.place:
        stage, equals, where = word.partition("=")
        if not equals or stage not in ("detector", "annotator"):
            options.parser.error(f"--place {word}: expected detector=… or annotator=…, e.g. detector=process")
        flags.append(Flag(f"--place {stage}=", "place", stage, where))
    return flags


def _gather(options: argparse.Namespace, settings: "Config") -> "Gathered":
    """The sources of the command line or, without any, of the config."""
    from watchline.pipeline.streams import named, typed

    if options.inputs:
        if options.loop and not options.realtime:
            options.parser.error("--loop needs --realtime: only a file that plays at its own speed can begin anew")
        return typed(options.inputs, options.transport or "tcp", bool(options.realtime), bool(options.loop))
    if not settings.streams:
        options.parser.error("what? name cameras or files, or a config with streams, e.g. watchline.toml")
    return named(settings.streams)


@contextmanager
def _shared_events(where: str | None, sources: "list[Source | LiveSource]") -> "Iterator[JsonlWriter | None]":
    """Where the events of all streams go."""
    from watchline.pipeline.annotate import inputs_of
    from watchline.streams.write.jsonl import STANDARD_OUTPUT, JsonlSink, JsonlWriter

    if where is None:
        yield None
    elif where == "-":
        yield JsonlWriter(STANDARD_OUTPUT, sys.stdout.fileno())
    else:
        inputs = [path for source in sources for path in inputs_of(source)]
        with closing(JsonlSink().append(Path(where), inputs)) as events:
            yield events


def _watch(
    options: argparse.Namespace, settings: "Config", sources: "list[Source | LiveSource]", events: "JsonlWriter | None"
) -> "Watch":
    from watchline.pipeline.watch import Watch

    check_report(options)
    out = settings.out or (None if events else OUT)
    if out and (out.suffix.lower() == ".mp4" or out.is_file()):
        options.parser.error(f"--out {out}: expected a folder, as every stream has files of its own")
    video = None if options.no_video or out is None else settings.video
    return Watch(
        sources,
        settings.detector,
        settings.annotator,
        out,
        video,
        place=settings.place,
        latency_budget=settings.latency_budget,
        events=events,
        conceal=options.conceal,
        split=settings.split,
    )


def _work(watch: "Watch", plain: bool) -> bool:
    """Watch, and show how it stands. Returns whether it was stopped by a signal."""
    from watchline.cli.interrupt import first_stops
    from watchline.cli.status import display

    with display(watch.status, plain) as shown, first_stops(watch.stop, shown.say) as signals:
        for _ in watch.run():
            pass  # the display asks by itself
    return bool(signals)
