"""Tables of measurements: printed as Markdown as soon as they are complete, and saved as JSON in one file.

Rows are also printed to stderr at once, so that a run that is killed still shows its results.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from watchline.files import write_complete

Cell = str | int | float | None


@dataclass
class Table:
    """The results of one section. notes: lines under the table, such as failures."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, *cells: Cell) -> None:
        """Add a row, with one cell per column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: a row of {len(cells)} cells, expected {len(self.columns)}")
        self.rows.append(list(cells))
        print(self.title, _line(cells), file=sys.stderr, flush=True)

    def markdown(self) -> str:
        """Title, table, notes."""
        lines = [f"### {self.title}", ""]
        if self.rows:
            lines += [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows), ""]
        return "\n".join([*lines, *(f"{note}\n" for note in self.notes)])


@dataclass
class TableReport:
    """The tables of a run, in a file that is complete after each table."""

    file: Path | None
    tables: list[Table] = field(default_factory=list)

    def add(self, table: Table) -> None:
        """Print a table, and write all tables."""
        self.tables.append(table)
        print(table.markdown(), flush=True)
        if self.file is not None:
            write_complete(self.file, json.dumps([asdict(each) for each in self.tables], indent=1).encode())


def _line(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(_shown(cell) for cell in cells)} |"


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case float():
            return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
        case _:
            return str(cell)
