"""A camera of this machine: a webcam or capture card that Linux shows as /dev/videoN (V4L2)."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import av
import av.error
from av.container import InputContainer
from pydantic import Field

from watchline.settings import settings
from watchline.streams.errors import (
    SourceDenied,
    SourceLost,
    SourceNotFound,
    SourceRefused,
    SourceTimeout,
    SourceUnsupported,
    StreamError,
)
from watchline.streams.live.connection import TIMEOUT, Connection
from watchline.streams.live.reader import CameraReader, reading

FORMAT = "video4linux2"


@settings
class DeviceSource:
    """A V4L2 device.

    Attributes:
        device: its path.
        stream: its name in every output; by default the name of the device, e.g. "video0".
        width, height: in pixels, both or neither. The device uses the nearest size that it supports; None lets it
            choose.
        rate: frames per second, likewise.
        read_timeout: seconds of silence after which the stream counts as lost.
    """

    device: str = "/dev/video0"
    stream: str = ""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    rate: int | None = Field(default=None, ge=1)
    read_timeout: float = Field(default=TIMEOUT, gt=0)
    live: ClassVar[Literal[True]] = True
    ends: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.width is None) != (self.height is None):
            raise ValueError(f"width {self.width} and height {self.height}: expected both, or neither")
        if not self.stream:
            object.__setattr__(self, "stream", Path(self.device).name)

    @property
    def name(self) -> str:
        """The device's path."""
        return self.device

    @contextmanager
    def open(self) -> Iterator[CameraReader]:
        """Starts the device, and decodes the first frame.

        Raises:
            SourceNotFound: there is no such device. The error names the devices of this machine.
            SourceDenied: this user may not use it.
            SourceRefused: another program uses it.
            SourceUnsupported: the device gives no pictures, or not in the requested size.
            SourceTimeout: no picture came.
        """
        self._check()
        container = self._start()
        connection = Connection(
            container=container,
            stream=self.stream,
            name=self.name,
            label=self._label,
            read_timeout=self.read_timeout,
            explain=self._explain,
        )
        with reading(connection) as reader:
            yield reader

    @property
    def _label(self) -> str:
        return f"{self.stream}: the camera {self.device}"

    def _check(self) -> None:
        """Check the device before FFmpeg opens it, because FFmpeg has one error for most of these cases."""
        try:
            mode = Path(self.device).stat().st_mode
        except OSError:
            cameras = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "there is none"
            raise SourceNotFound(f"{self._label} is not there; cameras of this machine: {cameras}") from None
        if not stat.S_ISCHR(mode):
            raise SourceUnsupported(f"{self._label} is not a device: expected /dev/videoN; name a file by its path")
        if not os.access(self.device, os.R_OK | os.W_OK):
            raise SourceDenied(f"{self._label} may not be used by this user; join the group video, then log in again")

    def _start(self) -> InputContainer:
        options: dict[str, str] = {}
        if self.width is not None:
            options["video_size"] = f"{self.width}x{self.height}"
        if self.rate is not None:
            options["framerate"] = str(self.rate)
        try:
            return av.open(
                self.device, format=FORMAT, options=options, timeout=self.read_timeout, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._explain(error) from None

    def _explain(self, error: Exception) -> StreamError:
        match getattr(error, "errno", None):
            case errno.EBUSY:
                return SourceRefused(f"{self._label} is in use by another program; close it")
            case errno.EACCES | errno.EPERM:
                return SourceDenied(f"{self._label} may not be used by this user; join the group video")
            case errno.ENODEV | errno.ENXIO:
                return SourceLost(f"{self._label} is gone; plug it in again")
            case errno.EINVAL | errno.ENOTTY:
                return SourceUnsupported(f"{self._label} gives no pictures, or none of this size or rate")
        why = getattr(error, "strerror", None) or str(error)
        if isinstance(error, av.error.ExitError | TimeoutError):
            return SourceTimeout(f"{self._label} gave no picture for {self.read_timeout:g} s; plug it in again")
        return SourceLost(f"{self._label} broke off: {why}; plug it in again")
