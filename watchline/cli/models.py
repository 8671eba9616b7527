"""`watchline models`: what ships inside the package, with its figures."""

import argparse
from pathlib import Path

from watchline.cli.exit_codes import DONE

MOST_NAMED = 100  # labels; more are the words of a captioner, or answers


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options: none."""
    return commands.add_parser("models", help="list the shipped models and their figures", allow_abbrev=False)


def run(options: argparse.Namespace) -> int:
    """Print a row a model, its classes and its figures under it."""
    from watchline.engines import language, metadata, zoo

    defaults = (zoo.DEFAULT, zoo.SEGMENTER, zoo.CAPTIONER, zoo.ANSWERER, zoo.WRITER)

    def row(path: Path, takes: str, labels: int, task: str) -> None:
        task += "   (default)" if path.stem in defaults else ""
        print(f"{path.stem:<20}{f'{path.stat().st_size / 1e6:.1f} MB':>8}   {takes:<12}{labels:>7}  {task}")

    print(f"{'model':<20}{'size':>8}   {'input':<12}{'labels':>7}  task")
    for name in zoo.names():
        path = zoo.find(name)
        about = metadata.read(path)
        row(path, f"{about.size[0]} x {about.size[1]}", len(about.labels), about.task)
        if len(about.labels) <= MOST_NAMED:
            print(f"    classes: {', '.join(about.labels)}")
        for what, value in about.figures.items():
            print(f"    {what}: {value:g}")
        if small := zoo.in_int8(name):
            figures = metadata.read(small).figures
            print(f"    in INT8, {small.stat().st_size / 1e6:.1f} MB:")
            for what, value in figures.items():
                print(f"        {what}: {value:g}")
    for name in zoo.names(zoo.TEXT):
        path = zoo.find(name, zoo.TEXT)
        writer = language.read(metadata.parse(path), str(path))
        row(path, "text", len(writer.characters), metadata.WRITES)
        for what, value in writer.figures.items():
            print(f"    {what}: {value:g}")
    return DONE
