"""The version of this Watchline. Any folder may import this file."""

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("watchline")
    except PackageNotFoundError:  # a checkout that is not installed: only then are these imported
        import tomllib
        from pathlib import Path

        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


VERSION = _version()
