"""`watchline models`: what ships inside the package, with its figures."""

import argparse

from watchline.cli.exit_codes import DONE

MOST_NAMED = 100  # labels; more are the words of a captioner


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options: none."""
    return commands.add_parser("models", help="list the shipped models and their figures", allow_abbrev=False)


def run(options: argparse.Namespace) -> int:
    """Print a row a model, its classes and its figures under it."""
    from watchline.engines import metadata, zoo

    print(f"{'model':<20}{'size':>8}   {'input':<12}{'labels':>7}  task")
    for name in zoo.names():
        path = zoo.find(name)
        about = metadata.read(path)
        task = about.task + ("   (default)" if name in (zoo.DEFAULT, zoo.SEGMENTER, zoo.CAPTIONER) else "")
        megabytes = f"{path.stat().st_size / 1e6:.1f} MB"
        print(f"{name:<20}{megabytes:>8}   {f'{about.size[0]} x {about.size[1]}':<12}{len(about.labels):>7}  {task}")
        if len(about.labels) <= MOST_NAMED:
            print(f"    classes: {', '.join(about.labels)}")
        for what, value in about.figures.items():
            print(f"    {what}: {value:g}")
        if small := zoo.in_int8(name):
            figures = metadata.read(small).figures
            print(f"    in INT8, {small.stat().st_size / 1e6:.1f} MB:")
            for what, value in figures.items():
                print(f"        {what}: {value:g}")
    return DONE
