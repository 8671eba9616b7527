"""Buffers on the device, and pinned buffers on the host. An ExitStack frees them when it closes."""

import ctypes
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.engines.nvidia.interface import Cuda


def on_device(cuda: Cuda, stack: ExitStack, size: int) -> int:
    """Allocate `size` bytes on the device. Returns the address. Raises InferenceFailed: there is not enough memory."""
    address = cuda.allocate(size)
    stack.callback(cuda.free, address)
    return address


def on_host(cuda: Cuda, stack: ExitStack, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in pinned memory, which the device can copy by itself. It must not be used after the stack closes."""
    size = bytes_of(shape, dtype)
    address = cuda.allocate_pinned(size)
    stack.callback(cuda.free_pinned, address)
    memory = memoryview((ctypes.c_uint8 * size).from_address(address))
    return np.frombuffer(memory, dtype).reshape(shape)


def bytes_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Size of an array in bytes."""
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
