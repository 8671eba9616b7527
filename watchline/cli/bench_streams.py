"""`watchline bench streams [FILE]`: how many cameras this machine holds within the latency budget."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least
from watchline.cli.bench_options import check_json
from watchline.cli.bench_report import write_json
from watchline.cli.bench_speed import add_chain, clip_of, config_of, described, positive, stages_of
from watchline.cli.exit_codes import DONE

if TYPE_CHECKING:
    from watchline.measure.speed.cameras import Trial

ROW = "{:>7}{:>9}{:>9}{:>8}{:>8}{:>8}   {}"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "streams",
        help="the most cameras that this machine holds within the latency budget",
        description="Play a video as several cameras at once, and search for the most of which at most 1 % of the "
        "frames are dropped, and 95 % written within the latency budget.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", metavar="FILE|NAME", help="of the detector (default: the one that ships)")
    add_chain(parser)
    parser.add_argument(
        "--rate", type=positive, metavar="FPS", help="of each camera (default: the video's own frames per second)"
    )
    parser.add_argument("--limit", type=at_least(1, 256), default=64, metavar="N", help="try no more (default: 64)")
    parser.add_argument("--seconds", type=positive, default=4.0, metavar="S", help="of a window, at least (default: 4)")
    parser.add_argument("--most", type=positive, default=20.0, metavar="S", help="for each trial (default: 20)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Search, print a row for each trial, and the number."""
    from watchline.measure.speed.cameras import cameras
    from watchline.measure.speed.chain import Workload
    from watchline.measure.speed.figures import chain_dict
    from watchline.streams.file import GUESSED_RATE

    check_json(options)
    settings = config_of(options, options.model)
    stages = stages_of(options, settings)
    with tempfile.TemporaryDirectory(prefix="watchline-bench-") as folder:
        clip, about = clip_of(options, Path(folder))
        rate, budget = options.rate or float(about.rate or GUESSED_RATE), settings.latency_budget
        figures = described(options, about, stages) | {"rate": rate, "latency_budget_ms": budget * 1e3}
        print(f"{about.name} ({about.width} x {about.height}) at {rate:g} frames per second, {figures['cpu']}")
        print(ROW.format("cameras", "came/s", "done/s", "p50", "p95", "p99", ""), flush=True)
        video = None if options.no_video else settings.video
        load = Workload(clip, stages, Path(folder), video, budget=budget, seconds=options.seconds, most=options.most)
        most, trials = cameras(load, rate, options.limit, _show)
    print(_sentence(most, options.limit, rate, budget))
    figures |= {
        "model": next(str(stage.model) for stage in stages if stage.name == "detector"),  # type: ignore[attr-defined]
        "cameras": most,
        "trials": [
            {"cameras": one.streams, "why_not": one.why_not, **(chain_dict(one.ran) if one.ran else {})}
            for one in trials
        ],
    }
    if options.json:
        write_json(options.json, figures)
    return DONE


def _show(trial: "Trial") -> None:
    ran = trial.ran
    numbers = ["-"] * 5
    if ran:
        numbers = [f"{ran.offered:.1f}", f"{ran.fps:.1f}", *(f"{ms:.0f}" for ms in ran.age_ms)]
    print(ROW.format(trial.streams, *numbers, trial.why_not or "holds"), flush=True)


def _sentence(most: int, limit: int, rate: float, budget: float) -> str:
    within = f"at {rate:g} frames per second within {budget * 1e3:g} ms"
    if most == limit:
        return f"{most} cameras {within}: --limit stopped the search"
    if most == 0:
        return f"not one camera {within}: a smaller --imgsz, another --model or --rate may help"
    return f"{most} camera{'s' if most > 1 else ''} {within}"
