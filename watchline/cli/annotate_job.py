"""`watchline annotate … --resume`: a job with a manifest, which may be killed and goes on (docs/batch.md)."""

import argparse
import gc
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from watchline.cli.formats import write_formats
from watchline.cli.results import write_report
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.batch import Batch
    from watchline.pipeline.config import Config
    from watchline.pipeline.manifest import Manifest, Row
    from watchline.streams.source import Source

FAILED_LIST = "failed.txt"
SHOWN = 20  # failed files that are shown at the end; failed.txt has all of them
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
    parser.add_argument("--once", action="store_true", help="of a job with a manifest: files of one content once")


def is_resuming(options: argparse.Namespace) -> bool:
    """Whether the job has a manifest."""
    return bool(options.resume or options.retry_failed)


def work(
    options: argparse.Namespace, settings: "Config", out: Path, sources: "list[Source]", problems: list[str]
) -> int:
    """Do what is not done yet. Args: problems, a line for each input that leads nowhere. Returns the exit code."""
    from watchline.pipeline.batch import Batch, planned
    from watchline.pipeline.fingerprint import models_of
    from watchline.pipeline.job import Job
    from watchline.pipeline.manifest import WAITING, opened
    from watchline.pipeline.sinks.files import Files
    from watchline.streams.write.paths import make_folder

    files = Files(out, None if options.no_video else settings.video, overwrite=True)
    sinks = [files, *settings.sinks]
    job = Job((), settings.chain(sinks), sinks, conceal=settings.conceal)
    model = models_of(job.stages)
    make_folder(out)
    stopped = False
    with opened(out) as manifest:
        _tell_anew(manifest.plan(planned(sources, job, model), options.retry_failed, options.once))
        sources.clear()  # from now on, the manifest has them
        batch = Batch(job, manifest, settings.overwrite, options.once)
        if WAITING in manifest.counts():
            stopped = _do(batch, options.verbose)
        failed = _list_failed(out, manifest, problems, settings)
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


def row_of_report(row: "Row") -> dict[str, Any]:
    """A file as the report has it."""
    fps = round(row.frames / row.seconds, 2) if row.seconds else None
    figures = {"frames": row.frames, "seconds": round(row.seconds, 3), "fps": fps, "bytes": row.bytes}
    notes = row.notes.splitlines() if row.notes else []
    return {"name": row.name, "state": row.state, **figures, "tries": row.tries, "why": row.why, "notes": notes}


def _do(batch: "Batch", plain: bool) -> bool:
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


def _list_failed(out: Path, manifest: "Manifest", problems: list[str], settings: "Config") -> int:
    """Show what has failed, and list it in failed.txt; without any, there is no such file. Returns how many."""
    from watchline.files import write_complete
    from watchline.pipeline.manifest import FAILED
    from watchline.text import printable

    rows = (f"{row.source.get('name') or row.name}: {row.why}" for row in manifest.rows(FAILED, named=True))
    lines = [concealed_text(settings.conceal(line)) for line in chain(problems, rows)]
    path = out / FAILED_LIST
    if not lines:
        path.unlink(missing_ok=True)
        return 0
    write_complete(path, "".join(f"{printable(line)}\n" for line in lines).encode())
    for line in islice(lines, SHOWN):
        print(f"watchline: failed: {line}", file=sys.stderr)
    more = f", {len(lines) - SHOWN} more of them" if len(lines) > SHOWN else ""
    print(f"watchline: {len(lines)} failed{more}: {path} lists them, --retry-failed tries them again", file=sys.stderr)
    return len(lines)
