"""The two builds of ONNX Runtime, for CPUs and for GPUs: which of them are installed. Neither is imported."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

BUILDS = ("onnxruntime", "onnxruntime-gpu")
REPLACE = (
    "pip uninstall --yes onnxruntime; pip install --force-reinstall --no-deps onnxruntime-gpu (they share their files, "
    "only one may be installed)"
)
"""What to do where the build for CPUs lies where the one for GPUs should."""


def both_installed() -> str | None:
    """A line of advice if both builds of ONNX Runtime are installed, each over the other's files; else None."""
    found = []
    for build in BUILDS:
        with suppress(PackageNotFoundError):
            found.append(f"{build} {version(build)}")
    return f"{' and '.join(found)} overwrite one another: {REPLACE}" if len(found) > 1 else None
