"""From the packets of a file to its frames: joints are closed, and what is damaged is counted and passed over."""

from collections.abc import Iterator, Sequence
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from watchline.streams.encryption import is_encrypted
from watchline.streams.tracks import joints_of

# After this many reading errors in a row, without a packet between them, nothing more can be read.
HOPELESS = 100


class Decoder:
    """Decodes one video of a file.

    Attributes:
        corrupt: packets so far that could not be read or decoded, and frames that FFmpeg had to repair.
        failure: why the file could not be read to its end, if the system said so.
        is_joined: whether there was a joint of recordings so far, so that FFmpeg's duration is of no use.
        is_encrypted: whether it ended at an encrypted packet.
    """

    def __init__(self, container: InputContainer, video: VideoStream, sounds: Sequence[Stream], is_cut: bool) -> None:
        """Args: the tracks whose times are shifted together; is_cut: whether the file ends too early."""
        self.corrupt = 0
        self.failure: OSError | None = None
        self.is_joined = self.is_encrypted = False
        self._container = container
        self._video = video
        self._tracks: list[Stream] = [video, *sounds]
        self._is_cut = is_cut

    def frames(self) -> Iterator[av.VideoFrame]:
        """The frames, once. A packet that the decoder refuses is counted, and the next one is tried."""
        for packet, shift in self._packets():
            if is_encrypted(packet):
                self.is_encrypted = True
                break
            if packet.is_corrupt:
                self.corrupt += 1
                if self._is_cut:  # the file ends inside this packet
                    continue
            self.is_joined = self.is_joined or shift != 0
            if packet.pts is not None:
                packet.pts += shift
            yield from self._decoded(packet)
        yield from self._decoded(None)

    def _decoded(self, packet: "av.Packet[VideoStream] | None") -> list[av.VideoFrame]:
        """What the decoder makes of a packet; with None, the frames that it still holds."""
        try:
            frames = self._video.decode(packet)
        except av.error.FFmpegError:
            self.corrupt += 1
            return []
        self.corrupt += sum(frame.is_corrupt for frame in frames)
        return frames

    def _packets(self) -> "Iterator[tuple[av.Packet[VideoStream], int]]":
        """Packets of the video, each with the shift of its times."""
        joints, index = joints_of(self._tracks), self._video.index
        for packet in self._demuxed():
            for through, shift in joints.rest() if packet is None else joints.see(packet):
                if through.stream_index == index:
                    yield cast("av.Packet[VideoStream]", through), shift

    def _demuxed(self) -> "Iterator[av.Packet[Stream] | None]":
        """Packets of all tracks, then None."""
        errors = 0
        while errors < HOPELESS:
            try:
                for packet in self._container.demux(self._tracks):
                    errors = 0
                    if packet.size:
                        yield packet
                break
            except OSError as error:
                self.failure = error
                break
            except av.error.FFmpegError:
                errors += 1
                self.corrupt += 1
        yield None
