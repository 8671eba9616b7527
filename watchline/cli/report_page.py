"""The report of a run as one page of HTML, which holds all that it shows, loads nothing and runs no code."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchline.measure.report import parts

MOST = 20_000  # rows of files; a browser shows no more with ease


def page(report: Mapping[str, Any]) -> str:
    """The page. Args: report, as `--report FILE.json` has it."""
    files = report.get("files") or [_file_of(outcome) for outcome in report.get("outcomes", ())]
    failed = sum(file["state"] == "failed" for file in files)
    about = (
        [f"{report['frames']} frames in {report['seconds']:.1f} s: {report['fps']} FPS"] if "frames" in report else []
    )
    about += [report["verdict"]] if "verdict" in report else []
    tables = [*_stages(report.get("stages", ())), *_files(sorted(files, key=lambda file: file["state"] != "failed"))]
    return parts.document(f"{len(files)} files", f"{failed} failed", [f"watchline {report['version']}"], about, tables)


def _file_of(outcome: Mapping[str, Any]) -> dict[str, Any]:
    state = "failed" if outcome["error"] else "stopped" if outcome["interrupted"] else "done"
    figures = {"frames": outcome["frames"], "seconds": None, "fps": None}
    return {"name": outcome["stream"], "state": state, **figures, "why": outcome["error"], "notes": outcome["notes"]}


def _stages(stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if stages:
        yield "<h2>Stages</h2>"
        head = "<tr><th></th><th>workers</th><th>frames</th><th>busy</th><th>at work, ms p50</th><th>p95</th></tr>"
        rows = (
            f"<tr><th>{parts.text(stage['name'])}</th><td>{stage['workers']}</td><td>{stage['frames']}</td>"
            f"<td>{min(stage['busy'], 1):.0%}</td><td>{stage['work_ms']['p50']:.1f}</td>"
            f"<td>{stage['work_ms']['p95']:.1f}</td></tr>"
            for stage in stages
        )
        yield parts.table([head, *rows])


def _files(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "<h2>Files</h2>"
    head = "<tr><th></th><th>state</th><th>frames</th><th>seconds</th><th>FPS</th><th>why, notes</th></tr>"
    yield parts.table([head, *map(_row, files[:MOST])])
    if len(files) > MOST:
        yield f"<p>{len(files) - MOST} more are in the report as JSON.</p>"


def _row(file: Mapping[str, Any]) -> str:
    figures = "".join(f"<td>{'–' if file[key] is None else file[key]}</td>" for key in ("frames", "seconds", "fps"))
    said = "<br>".join(parts.text(line) for line in (file["why"], *file["notes"]) if line)
    mark = " class=wrong" if file["state"] == "failed" else ""
    return f"<tr><th>{parts.text(file['name'])}</th><td{mark}>{file['state']}</td>{figures}<td>{said}</td></tr>"
