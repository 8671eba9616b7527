"""Frames per second of a job, from the first progress, so that loading the model does not count."""

import time

from watchline.pipeline.annotate import Annotate


def rate_of(work: Annotate, to_the_end: bool = False) -> tuple[float, int]:
    """Do the job. Returns frames per second of all streams together, and how many were written.

    Args:
        to_the_end: until all files are finished, in place of the last frame.

    Raises:
        RuntimeError: something could not be written, or nothing was.
    """
    written: dict[str, int] = {}
    seen: list[tuple[float, int]] = []  # one progress may stand for several frames
    for progress in work.run():
        if progress.frames and not progress.ended:
            written[progress.stream] = progress.frames
            seen.append((time.perf_counter(), sum(written.values())))
    ended = time.perf_counter()
    if wrong := [outcome.error for outcome in work.outcomes if outcome.error]:
        raise RuntimeError(wrong[0])
    if len(seen) < 2:
        raise RuntimeError("too few frames were written: expected a longer clip")
    (began, first), (last, frames) = seen[0], seen[-1]
    whole = sum(outcome.frames for outcome in work.outcomes)
    rate = (whole - first) / (ended - began) if to_the_end else (frames - first) / (last - began)
    return rate, whole
