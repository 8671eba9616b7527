"""How far a count is, on stderr: a bar on a terminal, nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from watchline.cli.printed import raw


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what is to be called with how many are done, and of how many."""
    from tqdm import tqdm

    with tqdm(unit=f" {what}", file=raw(sys.stderr), dynamic_ncols=True, leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
