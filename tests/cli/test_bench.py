"""`watchline bench`: each benchmark is a command with its own options."""

from pathlib import Path

import pytest
from cli.shell import within

from watchline.cli.bench import BENCHMARKS


def test_alone_it_names_the_benchmarks(tmp_path: Path) -> None:
    done = within(tmp_path, "bench")
    assert (done.code, done.err) == (0, [])
    named = {line.split()[0] for line in done.out if line.startswith("    ") and line.strip()}
    assert {benchmark.__name__.rpartition("bench_")[2] for benchmark in BENCHMARKS} <= named


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mapp"], "unknown command 'mapp': did you mean 'map'?"),
        (["map"], "the following arguments are required: --data"),
        (["map", "--data", "d", "--jsn", "x"], "unknown option '--jsn': did you mean '--json'?"),
        (["captions", "--data", "d", "--rule", "coco"], "unknown option '--rule'"),
        (["captions", "--data", "d", "more"], "there is one word too many: 'more'"),
        (["captions", "--data", "d", "--json", "nowhere/f.json"], "in a folder that can be written to"),
    ],
)
def test_wrong_usage_is_said_in_a_line(tmp_path: Path, words: list[str], says: str) -> None:
    done = within(tmp_path, "bench", *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert done.out == []
