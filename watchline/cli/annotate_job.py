"""`watchline annotate … --resume`: a job with a manifest, which may be killed and goes on (docs/batch.md)."""

import argparse
import gc
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.arguments import at_least
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from watchline.cli.formats import write_formats
from watchline.cli.results import write_report
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.batch import Batch
    from watchline.pipeline.config import Config
    from watchline.pipeline.crew.captain import Captain
    from watchline.pipeline.job import Job
    from watchline.pipeline.manifest import Manifest, Row
    from watchline.pipeline.shard import Shard
    from watchline.pipeline.sinks.files import Files
    from watchline.streams.source import Source

FAILED_LIST = "failed{}.txt"  # with the suffix of the shard
SHOWN = 20  # failed files that are shown at the end; the list has all of them
ANEW = {
    "model": "the model has changed: {} to be done anew",
    "config": "the settings have changed: {} to be done anew",
    "outputs": "outputs are missing or have another size: {} to be done anew",
    "input": "written again since they were done: {}, done anew where the content is another one",
}


def add_resuming(parser: argparse._ActionsContainer) -> None:
    """The options of such a job."""
    parser.add_argument("--resume", action="store_true", help="keep a manifest, and go on where a killed job stopped")
    parser.add_argument("--retry-failed", action="store_true", help="the same, and try again what has failed")
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="K/N",
        help="the K-th of N equal parts of the files, each by a command, on machines that share a file system",
    )
    parser.add_argument(
        "--processes",
        type=at_least(1),
        metavar="N",
        help="of a job with a manifest: so many processes side by side, which share the cores",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="the same on the machines of a Ray cluster: auto, HOST:PORT, or local for a new one on this machine",
    )
    parser.add_argument("--member", type=Path, help=argparse.SUPPRESS)  # the folder of one of them
    parser.add_argument("--channel", type=int, help=argparse.SUPPRESS)  # descriptor, to its captain
    parser.add_argument("--once", action="store_true", help="of a job with a manifest: files of one content once")


def _shard(text: str) -> "Shard":
    from watchline.pipeline.shard import shard

    try:
        return shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def is_resuming(options: argparse.Namespace) -> bool:
    """Whether the job has a manifest."""
    return bool(options.resume or options.retry_failed)


def is_known(options: argparse.Namespace, out: Path) -> bool:
    """Whether the job has a manifest from earlier: then what is in its folder is its own."""
    from watchline.pipeline.manifest import file_of

    return (out / file_of(options.shard)).is_file()


def work(
    options: argparse.Namespace, settings: "Config", out: Path, sources: "list[Source]", problems: list[str]
) -> int:
    """Do what is not done yet. Args: problems, a line for each input that leads nowhere. Returns the exit code."""
    from watchline.engines.cores import shares
    from watchline.pipeline.batch import Batch, planned
    from watchline.pipeline.crew import on_ray
    from watchline.pipeline.crew.captain import Captain
    from watchline.pipeline.crew.local import Started
    from watchline.pipeline.fingerprint import models_of
    from watchline.pipeline.manifest import WAITING, opened
    from watchline.streams.write.paths import make_folder

    several = bool(options.ray) or (options.processes or 1) > 1
    if several and settings.sinks:
        options.parser.error(
            f"several processes would each write to [sinks.{settings.sinks[0].name}] of its own; leave it out, or them"
        )
    files, job = _job(options, settings, out)
    model = models_of(job.stages)
    make_folder(out)
    stopped = False
    with opened(out, shard=options.shard) as manifest:
        _tell_anew(manifest.plan(planned(sources, job, model), options.retry_failed, options.once))
        sources.clear()  # from now on, the manifest has them
        batch: Batch | Captain
        if several:
            places = (
                on_ray.places(options.ray, options.processes, options.words)
                if options.ray
                else [partial(Started, options.words, its, manifest.held) for its in shares(options.processes)]
            )
            batch = Captain(manifest, replace(files, overwrite=settings.overwrite), places)
        else:
            batch = Batch(job, manifest, settings.overwrite, options.once)
        if WAITING in manifest.counts():
            stopped = _do(batch, options.verbose)
        listed = out / FAILED_LIST.format(options.shard.suffix if options.shard else "")
        failed = _list_failed(listed, manifest, problems, settings)
        _tell(out, manifest)
        unwritten = []
        if options.report:
            unwritten += write_report(options.report, batch, settings.conceal, map(row_of_report, _all(manifest)))
        if not stopped:
            outputs = (out / each.path for row in _all(manifest) for each in manifest.outputs(row))
            unwritten += write_formats(options, out, outputs, overwrite=True)
        failed += len(unwritten)
        for line in unwritten:
            print(f"watchline: failed: {concealed_text(settings.conceal(line))}", file=sys.stderr)
    return INTERRUPTED if stopped else SOME_FAILED if failed else DONE


def take_part(options: argparse.Namespace, settings: "Config") -> int:
    """What one of several processes does: the files that its captain hands it on stdin (pipeline/crew/member.py)."""
    from watchline.pipeline.batch import Batch
    from watchline.pipeline.crew.member import Handed, Told, work
    from watchline.pipeline.fingerprint import models_of

    channel, lock = os.fdopen(options.channel, "w"), threading.Lock()

    def say(told: Told) -> None:
        with lock:
            channel.write(json.dumps(told) + "\n")
            channel.flush()

    def heard() -> Iterator[Told]:
        yield from map(json.loads, sys.stdin)
        os._exit(INTERRUPTED)  # the captain is gone

    _, job = _job(options, settings, options.member)
    handed = Handed(options.member, say)
    batch = Batch(job, handed, True, options.once, models_of(job.stages))
    work(batch, handed, heard(), say)
    return DONE


def _job(options: argparse.Namespace, settings: "Config", out: Path) -> "tuple[Files, Job]":
    from watchline.pipeline.job import Job
    from watchline.pipeline.sinks.files import Files

    files = Files(out, None if options.no_video else settings.video, overwrite=True)
    sinks = [files, *settings.sinks]
    return files, Job((), settings.chain(sinks), sinks, conceal=settings.conceal)


def row_of_report(row: "Row") -> dict[str, Any]:
    """A file as the report has it."""
    fps = round(row.frames / row.seconds, 2) if row.seconds else None
    figures = {"frames": row.frames, "seconds": round(row.seconds, 3), "fps": fps, "bytes": row.bytes}
    notes = row.notes.splitlines() if row.notes else []
    return {"name": row.name, "state": row.state, **figures, "tries": row.tries, "why": row.why, "notes": notes}


def _do(batch: "Batch | Captain", plain: bool) -> bool:
    from watchline.cli.job_progress import display
    from watchline.cli.progress import work

    gc.freeze()  # each file ends with a collection (streams/file.py), which took half of what a short file costs
    try:
        stopped = work(batch, display(batch.standing, plain))
    finally:
        gc.unfreeze()
    print(batch.report.as_text())
    print()
    return stopped


def _all(manifest: "Manifest") -> "Iterator[Row]":
    from watchline.pipeline.manifest import STATES

    return manifest.rows(*STATES, named=True)


def _tell_anew(anew: Mapping[str, int]) -> None:
    for why, count in anew.items():
        print(f"watchline: {ANEW[why].format('1 file' if count == 1 else f'{count} files')}", file=sys.stderr)


def _tell(out: Path, manifest: "Manifest") -> None:
    counts = {state: count for state, (count, _) in manifest.counts().items()}
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    print(f"{out}: {sum(counts.values())} files: {states or 'none'}")


def _list_failed(path: Path, manifest: "Manifest", problems: list[str], settings: "Config") -> int:
    """Show what has failed, and list it in a file; without any, there is none. Returns how many."""
    from watchline.files import write_complete
    from watchline.pipeline.manifest import FAILED
    from watchline.text import printable

    rows = (f"{row.source.get('name') or row.name}: {row.why}" for row in manifest.rows(FAILED, named=True))
    lines = [concealed_text(settings.conceal(line)) for line in chain(problems, rows)]
    if not lines:
        path.unlink(missing_ok=True)
        return 0
    write_complete(path, "".join(f"{printable(line)}\n" for line in lines).encode())
    for line in islice(lines, SHOWN):
        print(f"watchline: failed: {line}", file=sys.stderr)
    more = f", {len(lines) - SHOWN} more of them" if len(lines) > SHOWN else ""
    print(f"watchline: {len(lines)} failed{more}: {path} lists them, --retry-failed tries them again", file=sys.stderr)
    return len(lines)
