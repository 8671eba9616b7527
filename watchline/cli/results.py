"""What a job has to say at its end: files, notes, the report."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import watchline
from watchline.files import write_complete
from watchline.text import json_text

if TYPE_CHECKING:
    from watchline.cli.progress import Work
    from watchline.pipeline.annotate import Annotate
    from watchline.streams.source import LiveSource, Source

MANY = 4  # files of a stream beyond which they are not all listed


def check_report(options: argparse.Namespace, sources: "Sequence[Source | LiveSource]") -> None:
    """Leaves by argparse's usage error where the report cannot be written, before any work is done."""
    from watchline.pipeline.job import inputs_of
    from watchline.streams.write.paths import is_same_file

    report = options.report
    if report and (report.is_dir() or not report.absolute().parent.is_dir()):
        options.parser.error(f"--report {report}: expected the name of a file in a folder that is there")
    if (
        report
        and report.exists()
        and any(is_same_file(report, path) for source in sources for path in inputs_of(source))
    ):
        options.parser.error(f"--report {report} is an input: the report would destroy it; name another file")


def tell(job: "Annotate", conceal: Callable[[str], str], out: TextIO) -> None:
    """The report on `out`, what was written, what was counted, and what was odd about it."""
    from watchline.pipeline.counts import in_words

    print(conceal(job.report.as_text()), file=out)
    print(file=out)
    for outcome in job.outcomes:
        files = [str(path) for path in outcome.outputs]
        if len(files) > MANY:
            files = [*files[: MANY - 1], f"{len(files) - MANY + 1} more"]
        print(f"{outcome.stream}: {conceal(', '.join(files)) or 'nothing'} written", file=out)
        for line in in_words(outcome.counts):
            print(f"{outcome.stream}: {line}", file=out)
        for note in outcome.notes:
            print(f"{outcome.stream}: {conceal(note)}", file=sys.stderr)


def write_report(
    path: Path, job: "Work", conceal: Callable[[str], str], files: Iterable[Mapping[str, Any]] | None = None
) -> list[str]:
    """Write the report, without the config's secrets: as JSON, or as one page of HTML if the path ends so.

    Args:
        files: rows of a job with a manifest; without them, the outcomes of the streams are written.

    Returns:
        why it could not be written, if it could not.
    """
    from dataclasses import asdict

    streams = {"outcomes": [asdict(outcome) for outcome in job.outcomes]} if files is None else {"files": [*files]}
    said = job.report.as_dict() if hasattr(job, "report") else {}  # where there was nothing to do, nothing was measured
    report = _concealed({"version": watchline.__version__, **said, **streams}, conceal)
    try:
        if path.suffix.lower() == ".html":
            from watchline.cli.report_page import page

            write_complete(path, page(report).encode())
        else:
            write_complete(path, (json_text(report, indent=2) + "\n").encode())
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
