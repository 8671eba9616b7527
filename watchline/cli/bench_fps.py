"""`watchline bench fps [FILE]`: how fast the whole chain runs here, what each part costs, and what limits."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least, share
from watchline.cli.bench_options import check_file, check_json
from watchline.cli.bench_report import write_json
from watchline.cli.bench_speed import add_chain, clip_of, config_of, described, file_of, positive, stages_of
from watchline.cli.exit_codes import DONE, SOME_FAILED

if TYPE_CHECKING:
    from watchline.measure.speed.figures import Speed


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "fps",
        help="frames per second of the whole chain, and of each of its parts",
        description="Run the whole chain (decode, detect, draw, encode) on a video until its speed is steady: the last "
        "three windows agree within 10 %. Measure each part alone as well; the cores divided by their processor time "
        "are the ceiling. The end says which part limits, and what the chain reaches of the ceiling.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", action="append", metavar="FILE|NAME", help="of the detector; several: a --model for each"
    )
    add_chain(parser)
    parser.add_argument(
        "--streams", type=at_least(1, 64), default=1, metavar="N", help="that play at once (default: 1)"
    )
    parser.add_argument(
        "--rate",
        type=positive,
        metavar="FPS",
        help="open loop: every stream plays at so many frames per second, as a camera; what is too slow loses some",
    )
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="of a window, at least (default: 2)")
    parser.add_argument("--most", type=positive, default=60.0, metavar="S", help="for all windows (default: 60)")
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="of an earlier --json: fail if a model has become slower"
    )
    parser.add_argument("--margin", type=share, default=0.1, help="that may be lost of the baseline (default: 0.1)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw what the parts cost")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure every model, and print its table."""
    from watchline.measure.speed import baseline
    from watchline.measure.speed.chain import Workload
    from watchline.measure.speed.speed import speed

    check_json(options)
    check_file(options, "plot", ".png")
    before = baseline.read(options.baseline) if options.baseline else None
    chains = [config_of(options, model) for model in options.model or [None]]
    with tempfile.TemporaryDirectory(prefix="watchline-bench-") as folder:
        clip, about = clip_of(options, Path(folder))
        figures = described(options, about, stages_of(options, chains[0]))
        figures |= {"streams": options.streams, "rate": options.rate}
        if before is not None:
            baseline.check(figures, [file_of(stages_of(options, settings)) for settings in chains], before)
        speeds = []
        for settings in chains:
            video = None if options.no_video else settings.video
            load = Workload(
                clip,
                stages_of(options, settings),
                Path(folder),
                video,
                options.streams,
                options.rate,
                settings.latency_budget,
                options.seconds,
                options.most,
            )
            measured = speed(load)
            _show(measured, options, figures)
            speeds.append(measured)
    figures["models"] = [each.as_dict() for each in speeds]
    if options.json:
        write_json(options.json, figures)
    if options.plot:
        _plot(options.plot, speeds, figures)
    if before is None:
        return DONE
    lines, wrong = baseline.slower(figures, before, options.margin)
    print("\n".join([*baseline.unlike(figures, before), *lines]))
    for line in wrong:
        print(f"slower than the margin of {options.margin:g} allows: {line}")
    return SOME_FAILED if wrong else DONE


def _show(measured: "Speed", options: argparse.Namespace, figures: "dict[str, object]") -> None:
    width, height = measured.size
    streams = "" if options.streams == 1 else f"{options.streams} streams of "
    rate = f" at {options.rate:g} frames per second" if options.rate else ""
    print(
        f"\n{measured.model} ({measured.file}) at {width} x {height}, {measured.runtime} on {figures['cpu']}, "
        f"{measured.cores} cores, {measured.workers} engines; {streams}{figures['source']} "
        f"({figures['frame_width']} x {figures['frame_height']}){rate}"
    )
    print(measured.as_text(options.rate is not None), flush=True)


def _plot(file: Path, speeds: "list[Speed]", figures: "dict[str, object]") -> None:
    """Raises ReportNotWritten."""
    import cv2

    from watchline.files import write_complete
    from watchline.measure.errors import ReportNotWritten
    from watchline.measure.speed.plot import plot

    title = "{source}, {frame_width} x {frame_height}, {cpu}, {cores} cores".format(**figures)
    try:
        write_complete(file, cv2.imencode(".png", plot(speeds, title))[1].tobytes())
    except OSError as error:
        raise ReportNotWritten(f"--plot {file}: it cannot be written ({error.strerror}); name another place") from error
