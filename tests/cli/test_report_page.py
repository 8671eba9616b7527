"""The report as a page: names of anybody are text in it, and it loads nothing."""

from watchline.cli.report_page import MOST, page

STAGE = {"name": "detector", "workers": 2, "frames": 9, "busy": 0.5, "work_ms": {"p50": 1.0, "p95": 2.0}}
RUN = {"version": "1", "frames": 9, "seconds": 2.0, "fps": 4.5, "verdict": "No stage limits.", "stages": [STAGE]}


def file(name: str, state: str = "done", why: str | None = None) -> dict[str, object]:
    return {"name": name, "state": state, "frames": 9, "seconds": None, "fps": 4.5, "why": why, "notes": ["odd"]}


def test_names_and_errors_are_text() -> None:
    html = page({**RUN, "files": [file("a"), file("<script>x", "failed", "<img src=http://x>")]})
    assert "&lt;script&gt;x" in html
    assert "&lt;img" in html
    assert "<script" not in html
    assert "<img" not in html
    assert html.index("&lt;script") < html.index("<th>a</th>"), "what has failed is first"
    assert "default-src 'none'" in html


def test_a_run_without_a_manifest_has_a_row_for_each_stream() -> None:
    outcome = {"stream": "gate", "frames": 3, "error": None, "interrupted": True, "notes": []}
    assert "<th>gate</th><td>stopped</td><td>3</td><td>–</td>" in page({**RUN, "outcomes": [outcome]})


def test_a_page_has_no_more_rows_than_a_browser_shows() -> None:
    html = page({"version": "1", "files": [file(str(number)) for number in range(MOST + 5)]})
    assert html.count("<tr>") == MOST + 1
    assert "<p>5 more are in the report as JSON.</p>" in html
