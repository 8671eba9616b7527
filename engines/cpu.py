"""What the CPU of this machine is called, and which of the instructions it has that decide about speed and INT8."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
TELLING = "avx2 avx_vnni avx512bw avx512_vnni amx_int8 asimd asimddp i8mm sve".split()
"""As Linux calls them, on x86 (`flags`) and on ARM (`Features`): wide vectors, and products of 8-bit integers that are
summed up in 32 bits (VNNI, AMX; dotprod is `asimddp`)."""


def kind(cpuinfo: Path = CPUINFO) -> str:
    """E.g. "AMD EPYC 7B13 (avx2)", to stand beside a figure that depends on it."""
    name = _fields(cpuinfo).get("model name") or platform.machine() or "unknown make"
    return f"{name} ({' '.join(features(cpuinfo)) or 'features unknown'})"


def features(cpuinfo: Path = CPUINFO) -> list[str]:
    """Those of TELLING that this CPU has; none where the system does not say."""
    fields = _fields(cpuinfo)
    has = set((fields.get("flags") or fields.get("Features") or "").split())
    return [name for name in TELLING if name in has]


def _fields(cpuinfo: Path) -> dict[str, str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
