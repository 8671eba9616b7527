"""The report of a run: what was done, how fast, which stage limits, and that no frame was lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchline.pipeline.ledger import Account, Ledger
from watchline.pipeline.message import DECODER
from watchline.pipeline.meter import Histogram, Meter

BUSY = 0.6  # share of the time from which a stage is said to limit

DECODER_ADVICE = "more decode threads, or a smaller video, would help"


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage. Times in milliseconds as (p50, p95, p99). busy: share of its workers' time spent working, 0..1."""

    name: str
    workers: int
    frames: int
    queue_ms: tuple[float, float, float]
    work_ms: tuple[float, float, float]
    busy: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run.

    Attributes:
        fps: frames per second of wall time that reached the sinks, decoding to writing.
        advice: what to do where a stage or a sink is the slowest, by its name.
        trouble: what is to be said of the latency budget.
    """

    seconds: float
    frames: int
    fps: float
    latency_ms: tuple[float, float, float]
    stages: list[StageReport]
    streams: dict[str, Account]
    advice: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    @classmethod
    def of(cls, ledger: Ledger, meter: Meter, seconds: float, advice: Mapping[str, str], trouble: str = "") -> "Report":
        """Args: ledger and meter of a run; seconds of wall time it took; advice and trouble as above."""
        accounts = ledger.accounts()
        frames = sum(a.annotated for a in accounts.values())
        seconds = max(seconds, 1e-9)
        stages = [
            StageReport(name, m.workers, m.count, _ms(m.queue), _ms(m.work), m.work.total / (m.workers * seconds))
            for name, m in meter.stages.items()
        ]
        return cls(
            seconds=seconds,
            frames=frames,
            fps=frames / seconds,
            latency_ms=_ms(meter.latency),
            stages=stages,
            streams=accounts,
            advice={DECODER: DECODER_ADVICE, **advice},
            trouble=trouble,
        )

    @property
    def verdict(self) -> str:
        """The stage that limits, its share, and what to change; and what is wrong with the latency budget."""
        trouble = f" {self.trouble[0].upper()}{self.trouble[1:]}." if self.trouble else ""
        return f"{self._limit}{trouble}"

    @property
    def _limit(self) -> str:
        if not self.frames:
            return "No frame was written."
        slowest = max(self.stages, key=lambda s: s.busy)
        share = f"{min(slowest.busy, 1):.0%}"
        if slowest.busy < BUSY:
            return f"No stage limits: the busiest, the {slowest.name}, worked {share} of the time."
        advice = self.advice.get(slowest.name, "making it faster would help")
        return f"The {slowest.name} limits: it worked {share} of the time; {advice}."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "fps": round(self.fps, 2),
            "latency_ms": _named(self.latency_ms),
            "stages": [
                {
                    "name": s.name,
                    "workers": s.workers,
                    "frames": s.frames,
                    "queue_ms": _named(s.queue_ms),
                    "work_ms": _named(s.work_ms),
                    "busy": round(s.busy, 3),
                }
                for s in self.stages
            ],
            "streams": {
                name: {
                    "decoded": a.decoded,
                    "annotated": a.annotated,
                    "dropped": a.dropped,
                    "in_flight": a.in_flight,
                    "balances": a.balances,
                }
                for name, a in self.streams.items()
            },
            "verdict": self.verdict,
        }

    def as_text(self) -> str:
        """A table for people."""
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s: {self.fps:.1f} FPS, decoding to writing; "
            f"frame latency p50/p95/p99 {_slashed(self.latency_ms)} ms",
            "",
            f"{'stage':<11}{'workers':>8}{'frames':>8}{'busy':>7}   {'in queue ms':<20}{'at work ms':<20}",
        ]
        lines += [
            f"{s.name:<11}{s.workers:>8}{s.frames:>8}{min(s.busy, 1):>7.0%}   "
            f"{_slashed(s.queue_ms):<20}{_slashed(s.work_ms):<20}"
            for s in self.stages
        ]
        lines += ["", f"{'stream':<19}{'decoded':>8}{'annotated':>11}{'in flight':>11}   dropped"]
        for name, a in self.streams.items():
            causes = ", ".join(f"{n} {cause}" for cause, n in a.dropped.items()) or "0"
            lines.append(f"{name:<19}{a.decoded:>8}{a.annotated:>11}{a.in_flight:>11}   {causes}")
        return "\n".join([*lines, "", self.verdict])


def _ms(histogram: Histogram) -> tuple[float, float, float]:
    p50, p95, p99 = (histogram.percentile(q) * 1e3 for q in (50, 95, 99))
    return p50, p95, p99


def _named(times: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("p50", "p95", "p99"), (round(t, 3) for t in times), strict=True))


def _slashed(times: tuple[float, float, float]) -> str:
    return "/".join(f"{t:.1f}" if t < 100 else f"{t:.0f}" for t in times)
