"""Checks the folder that a command will write, before the command works."""

import argparse
from pathlib import Path


def check_folder(parser: argparse.ArgumentParser, option: str, folder: Path) -> None:
    """Leaves by argparse's usage error where files cannot be made in a folder, or the folder cannot be made.

    It is tried, as rights do not say everything (a disk that is mounted to be read only, a quota), and leaves nothing.
    """
    import tempfile  # it takes a while, and the help of a command must not

    try:
        if folder.exists() and not folder.is_dir():
            parser.error(f"{option} {folder}: it is not a folder; name another")
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(prefix=".watchline-", dir=there):
            pass
    except OSError as error:
        parser.error(f"{option} {folder}: nothing can be written there ({error.strerror}); name another folder")
