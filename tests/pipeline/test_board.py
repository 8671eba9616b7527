"""What a reader of the board sees, however slow it is."""

import threading
import time

from watchline.pipeline.board import Board
from watchline.pipeline.lanes import Progress


def progress(stream, frames, ended=False):
    return Progress(stream, None, frames, ended)


def test_who_reads_late_gets_the_newest_and_every_end():
    board = Board()
    for frames in range(5):
        board.post(progress("a", frames))
    board.post(progress("b", 0))
    board.post(progress("a", 5, ended=True))
    board.post(progress("a", 0))  # the name again
    board.post(progress("b", 1))
    board.close()
    assert list(board.read()) == [progress("a", 5, ended=True), progress("b", 1), progress("a", 0)]


def test_who_waits_gets_it_at_once():
    board, read = Board(), []
    reader = threading.Thread(target=lambda: read.extend(board.read()))
    reader.start()
    for frames in range(3):
        board.post(progress("a", frames))
        while len(read) <= frames:
            time.sleep(0.001)
    board.close()
    reader.join(5)
    assert not reader.is_alive()
    assert read == [progress("a", frames) for frames in range(3)]
