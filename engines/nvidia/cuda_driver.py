"""Asks NVIDIA's driver directly which GPUs there are, so no library that wraps it needs to be installed."""

import ctypes
from dataclasses import dataclass

CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class NoDriver(Exception):
    """There is no driver, or it returns an error; the message says which."""


@dataclass(frozen=True)
class GpuInfo:
    """A GPU: its name, its memory, and its compute capability, e.g. "8.9"."""

    name: str
    gibibytes: float
    capability: str


@dataclass(frozen=True)
class Driver:
    """What the driver reports. version: the newest CUDA that it supports, e.g. "CUDA 12.8"."""

    version: str
    gpus: tuple[GpuInfo, ...]


def ask(library: str = "libcuda.so.1") -> Driver:
    """Ask the driver for its version and its GPUs.

    Raises:
        NoDriver: there is no driver, or it fails.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        raise NoDriver(f"there is no NVIDIA driver ({library})") from None
    _call(driver, "cuInit", 0)
    spoken, count = ctypes.c_int(), ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(spoken))
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    version = f"CUDA {spoken.value // 1000}.{spoken.value % 1000 // 10}"
    return Driver(version, tuple(_gpu(driver, i) for i in range(count.value)))


def _gpu(driver: ctypes.CDLL, index: int) -> GpuInfo:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(driver, "cuDeviceGet", ctypes.byref(device), index)
    _call(driver, "cuDeviceGetName", name, len(name), device)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    major, minor = (_attribute(driver, device, number) for number in CAPABILITY)
    return GpuInfo(name.value.decode(errors="replace"), memory.value / 2**30, f"{major}.{minor}")


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), number, device)
    return value.value


def _call(driver: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = getattr(driver, function)(*arguments)
    if code:
        raise NoDriver(f"the NVIDIA driver is there, but {function} fails with CUDA error {code}")
