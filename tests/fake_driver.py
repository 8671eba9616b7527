"""A CUDA driver for tests: a C library that reports one GPU, none, or an error."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = """
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return %(init)d; }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetCount(int *count) { *count = %(count)d; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "NVIDIA Test", size); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)24 << 30; return 0; }
int cuDeviceGetAttribute(int *value, int number, int device) { *value = number == 75 ? 8 : 9; return 0; }
"""

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc)")


def driver(folder: Path, *, init: int = 0, count: int = 1) -> str:
    """Build the library. Args: init, what cuInit returns; count of GPUs. Returns: its path."""
    library = folder / "libcuda.so.1"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(library)],
        input=SOURCE % {"init": init, "count": count},
        text=True,
        check=True,
    )
    return str(library)
