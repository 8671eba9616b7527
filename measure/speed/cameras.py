"""How many cameras a machine holds within the latency budget, found by search."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from watchline.measure.errors import NoFrames
from watchline.measure.speed.chain import Chain, Workload, chain

LOST = 0.01  # share of the frames that may be dropped
KEPT_UP = 0.95  # share of the rate that the decoders must reach


@dataclass(frozen=True, slots=True)
class Trial:
    """So many cameras at once, and whether the machine holds them; if not, why, in a few words.

    Attributes:
        ran: how they ran; None where too few frames were written for a figure.
    """

    streams: int
    ran: Chain | None
    why_not: str = ""

    @property
    def holds(self) -> bool:
        return not self.why_not


def cameras(
    load: Workload, rate: float, limit: int, tell: Callable[[Trial], None] = lambda trial: None
) -> tuple[int, list[Trial]]:
    """The most cameras that the machine holds, 0 to `limit`, and what was tried, in order.

    Args:
        load: of one camera.
        rate: frames per second of each.
        tell: called after each trial.
    """
    trials: list[Trial] = []

    def holds(streams: int) -> bool:
        try:
            ran = chain(replace(load, streams=streams, rate=rate))
            trials.append(Trial(streams, ran, why_not(ran, streams * rate, load.budget)))
        except NoFrames:
            trials.append(Trial(streams, None, f"hardly a frame was written within {load.most:g} s"))
        tell(trials[-1])
        return trials[-1].holds

    return most_that(holds, limit), trials


def most_that(holds: Callable[[int], bool], limit: int) -> int:
    """The largest number from 0 to `limit` for which it holds, if it holds for all below: doubled, then halved."""
    good, bad = 0, limit + 1
    count = 1
    while count < bad:
        if holds(count):
            good = count
        else:
            bad = count
        count = min(2 * good, limit) if bad > limit and good < limit else (good + bad) // 2
        if count <= good:
            break
    return good


def why_not(ran: Chain, asked: float, budget: float) -> str:
    """Why the machine does not hold streams that ran so; empty where it does.

    Args: asked, frames per second of all together; budget, seconds.
    """
    lost = sum(ran.dropped.values())
    share = 1 - ran.fps / ran.offered if lost else 0.0
    if share > LOST:
        causes = ", ".join(f"{frames} {cause}" for cause, frames in sorted(ran.dropped.items()))
        return f"{share:.0%} of the frames were dropped ({causes})"
    if ran.age_ms[1] > budget * 1e3:
        return f"the p95 of the latency is {ran.age_ms[1]:.0f} ms, above {budget * 1e3:.0f}"
    if ran.offered < KEPT_UP * asked:
        return f"{ran.offered:.1f} of {asked:g} frames per second came: the decoders cannot keep up"
    return ""
