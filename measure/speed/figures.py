"""The speed of one model's chain: its parts, their ceiling, and what the chain reaches of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchline.measure.speed.chain import Chain
from watchline.measure.speed.parts import Part, Times
from watchline.measure.speed.windows import AGREE, WITHIN


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one model.

    Attributes:
        model, file, runtime: that ran. size: (width, height) of the network's input.
        workers, batch: of the detector.
        cores: that the process may use.
        parts: by name, in the order of the chain.
        engine: pictures per second of the bare engines side by side.
        is_on_gpu: whether they need no processor time, so that they are a ceiling of their own.
        chain: all of it at work.
    """

    model: str
    file: str
    runtime: str
    size: tuple[int, int]
    workers: int
    batch: int
    cores: int
    parts: Mapping[str, Part]
    engine: float
    is_on_gpu: bool
    chain: Chain

    @property
    def alone_ms(self) -> float:
        """Processor time per frame of all parts, each alone, in milliseconds."""
        return sum(part.cpu for part in self.parts.values())

    @property
    def ceiling(self) -> float:
        """Frames per second that the cores allow, and on a GPU the bare engines."""
        by_cores = self.cores * 1e3 / self.alone_ms
        return min(by_cores, self.engine) if self.is_on_gpu else by_cores

    @property
    def of_ceiling(self) -> float:
        """Share of the ceiling that the chain reaches; about 1 at best."""
        return self.chain.fps / self.ceiling

    @property
    def limit(self) -> str:
        """The part that limits: what takes most of a frame's processor time, or the engine on a GPU."""
        if self.is_on_gpu and self.ceiling == self.engine:
            return "engine"
        return max(self.parts, key=lambda name: self.parts[name].cpu)

    @property
    def verdict(self) -> str:
        """The part that limits, what the chain reaches of the ceiling, and where the rest goes."""
        more, share = self.chain.cpu_ms / self.alone_ms, self.parts[self.limit].cpu / self.alone_ms
        return (
            f"The {self.limit} limits, with {share:.0%} of a frame's processor time. The chain reaches "
            f"{self.of_ceiling:.2f} of the ceiling of {self.ceiling:.1f} FPS: its frames cost {more:.2f} times what "
            f"their parts cost alone, and it used {min(self.chain.busy, 1):.0%} of the cores' time."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Times are milliseconds, rates per second."""
        ran = self.chain
        return {
            "model": self.model,
            "file": self.file,
            "runtime": self.runtime,
            "width": self.size[0],
            "height": self.size[1],
            "workers": self.workers,
            "batch": self.batch,
            "fps": round(ran.fps, 3),
            "ceiling_fps": round(self.ceiling, 3),
            "of_ceiling": round(self.of_ceiling, 4),
            "engine_fps": round(self.engine, 3),
            "limit": self.limit,
            "parts": {
                name: {"cpu_ms": round(part.cpu, 4), "wall_ms": _named(part.wall)} for name, part in self.parts.items()
            },
            "chain": chain_dict(ran),
            "verdict": self.verdict,
        }

    def as_text(self, is_open: bool) -> str:
        """A table for people. Args: is_open, whether the frames came at a rate."""
        rows = [f"{'part':<11}{'CPU ms':>8}{'p50':>9}{'p95':>9}{'p99':>9}   (ms per frame, one thread)"]
        rows += [
            f"{name:<11}{part.cpu:>8.2f}" + "".join(f"{ms:>9.2f}" for ms in part.wall)
            for name, part in self.parts.items()
        ]
        ages = "/".join(f"{ms:.0f}" for ms in self.chain.age_ms)
        age = f"latency p50/p95/p99 {ages} ms" if is_open else f"{ages} ms in the chain (p50/p95/p99)"
        rows += ["", f"{self.chain.fps:.1f} FPS, whole chain; {age}; bare engine {self.engine:.1f} FPS"]
        rows += [text for text in (_lost(self.chain) if is_open else "", _unsettled(self.chain)) if text]
        return "\n".join([*rows, *([] if is_open else [self.verdict])])


def chain_dict(ran: Chain) -> dict[str, Any]:
    """For JSON."""
    return {
        "fps": round(ran.fps, 3),
        "offered_fps": round(ran.offered, 3),
        "windows_fps": [round(rate, 3) for rate in ran.windows],
        "settled": ran.is_settled,
        "latency_ms": _named(ran.age_ms),
        "dropped": dict(ran.dropped),
        "cpu_ms": round(ran.cpu_ms, 3),
        "busy": round(ran.busy, 4),
    }


def _lost(ran: Chain) -> str:
    lost = ", ".join(f"{frames} {cause}" for cause, frames in sorted(ran.dropped.items())) or "none"
    return f"{ran.offered:.1f} frames per second came; dropped: {lost}"


def _unsettled(ran: Chain) -> str:
    if ran.is_settled:
        return ""
    last = ", ".join(f"{rate:.1f}" for rate in ran.windows[-AGREE:])
    return (
        f"not steady: the last windows had {last} FPS, and do not agree within {WITHIN:.0%}; does something else run?"
    )


def _named(times: Times) -> dict[str, float]:
    return dict(zip(("p50", "p95", "p99"), (round(ms, 4) for ms in times), strict=True))
