"""`watchline bench BENCHMARK`: the benchmarks, one file each; BENCHMARKS names them.

watchline bench map --data DIR --model FILE
watchline bench captions --data FLICKR8K
watchline bench vqa --data DAQUAR
watchline bench track --data MOTDIR
watchline bench fps [FILE]
watchline bench streams [FILE]
"""

import argparse

from watchline.cli import bench_captions, bench_fps, bench_map, bench_streams, bench_track, bench_vqa
from watchline.cli.exit_codes import DONE

BENCHMARKS = (bench_map, bench_captions, bench_vqa, bench_track, bench_fps, bench_streams)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """The benchmarks as commands below this one, each with its own options."""
    parser = commands.add_parser(
        "bench",
        help="measure a model: its average precision, its captions and answers, its speed; the tracker",
        description="Measure a model: on labelled data, or its speed on this machine.",
        allow_abbrev=False,
    )
    benchmarks = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK")
    for benchmark in BENCHMARKS:
        own = benchmark.add_to(benchmarks)
        # without a default of its own, which would undo `bench -v map`
        own.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say more, on stderr")
        own.set_defaults(run=benchmark.run, parser=own)
    return parser


def run(options: argparse.Namespace) -> int:
    """Without a benchmark: say which there are."""
    options.parser.print_help()
    return DONE
