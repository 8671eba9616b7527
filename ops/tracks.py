"""Tracks: which boxes in the frames of a stream are one object.

    tracks = Tracks()
    for found, seconds in frames:
        numbers = tracks.update(found, seconds, (1280, 720))

A box belongs to the track whose object must be there now, as its Kalman filter says (kalman.py). Boxes that the
detector is sure of choose first, the others only continue what is there (Zhang et al., "ByteTrack", 2022, algorithm 1).
Besides the overlap, the direction (Cao et al., "Observation-Centric SORT", 2023, section 4.2), the height and the score
(Yang et al., "Hybrid-SORT", 2024, section 3) tell objects apart. Who was hidden is found near where it was seen last,
by boxes with a buffer (Yang et al., "Hard to Track Objects with Irregular Motions and Similar Appearances?", 2023).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.ops.assignment import matched
from watchline.ops.boxes import Boxes, clip, iou
from watchline.ops.detections import Detections
from watchline.ops.kalman import begun, boxes_of, corrected, predicted

NONE = -1  # the number of a box without a track

SURE = 0.5  # score from which a box may begin a track
UNSURE = 0.2  # score below which a box is of no track
START = 0.7  # mean score from which a track gets a number
MEMORY = 2.0  # seconds that a track waits for its object
DOUBTFUL = 0.3  # the same of a track without a number
LATELY = 0.5  # seconds without a box after which an unsure one continues no track

NEAR, BUFFER = 0.3, 0.3  # least IoU of a box and its object's, both larger by this share of their sides on each side
UNSURE_NEAR = 0.6  # the same of an unsure box, without a buffer
DIRECTION = 0.1  # what the same direction adds to the IoU
SCORE = 0.5  # how much of the difference of the scores is taken from it
FEW = 1e-3  # of a pair that is near, and in nothing else alike
STEADY = 1.0  # seconds over which the score of a track is averaged
PATH = 0.5  # seconds over which its direction is observed
SOON = 1e-6  # seconds: times are sums of fractions

NEAR_CLASSES = (  # that detectors mistake for each other
    ("car", "bus", "truck", "van"),
    ("bicycle", "motorbike", "motorcycle", "cyclist", "bicyclist"),
    ("person", "pedestrian"),
)

_Table = NDArray[np.void]
_Likeness = Callable[[_Table, Boxes, NDArray[np.float64]], NDArray[np.float64]]
_TRACK = np.dtype(
    [
        ("number", np.int64),  # NONE before it is settled
        ("kind", np.int64),  # index into the labels, as seen last
        ("group", np.int64),  # of near classes
        ("hits", np.int64),  # how often it was seen
        ("since", np.float64),  # seconds
        ("seen", np.float64),
        ("rested", np.float64),  # seconds since then in which nothing moved
        ("score", np.float64),  # mean over the last STEADY seconds
        ("box", np.float32, 4),  # as seen last
        ("trail", np.complex128),  # x + iy: the centre some time before
        ("motion", np.float64, (5, 4)),
    ]
)


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of an object.

    Attributes:
        number: from 1 on, in the order in which tracks were settled.
        kind: its class as seen last, an index into the labels.
        since, seen: when it was seen for the first and for the last time, in seconds.
        score: mean of its boxes' scores in the last second.
        box: xyxy in pixels, as seen last.
        ended: how: "left" the picture, or "lost", as it was not seen for too long; None before that.
    """

    number: int
    kind: int
    since: float
    seen: float
    score: float
    box: tuple[float, ...]
    ended: Literal["left", "lost"] | None = None


class Tracks:
    """The tracks of one stream. The same boxes and times give the same numbers.

    Args:
        sure: score from which a box may begin a track; boxes with less, down to 0.2, only continue one.
        start: mean score from which a track gets a number. A thing that always scores little is followed as well, so
            that no other track takes its boxes, but has none.
        memory: seconds that a track waits for an object that is hidden.

    Attributes:
        ended: the tracks with a number that ended with the last frame.
    """

    def __init__(self, sure: float = SURE, start: float = START, memory: float = MEMORY) -> None:
        self.ended: list[Track] = []
        self._sure, self._start, self._memory = sure, start, memory
        self._tracks: _Table = np.empty(0, _TRACK)
        self._time: float | None = None  # of the last look
        self._now = 0.0  # of the last frame
        self._rested = 0.0  # seconds since the last look in which nothing moved
        self._last = 0

    def update(self, found: Detections, seconds: float, size: tuple[int, int]) -> NDArray[np.int64]:
        """The numbers of the tracks of a frame's boxes, (N,); NONE of a box without a track, or of one that has no
        number yet.

        Args:
            found: what a detector saw in the next frame that it looked at, from low scores on.
            seconds: the time of the frame.
            size: width and height of the frame in pixels; whose centre is beyond, and who is not seen, has left.
        """
        boxes, scores = found.xyxy, found.confidence.astype(np.float64)
        groups, sure = _groups(found.labels)[found.class_id], scores >= self._sure
        before = seconds if self._time is None else self._time
        tracks = self._waiting(seconds, before)
        outside = _is_outside(tracks["motion"][:, 0, 0] + 1j * tracks["motion"][:, 0, 1], size)
        choice = _Choice(tracks, boxes, scores, groups)
        choice.run(np.ones(len(tracks), np.bool_), sure, _as_expected)
        choice.run(tracks["seen"] >= min(before, seconds - LATELY - SOON), ~sure & (scores >= UNSURE), _exactly)
        choice.run((tracks["number"] != NONE) & ~outside, sure, _where_it_was)
        owner, left = choice.owner, outside & choice.waits
        columns = np.flatnonzero(owner >= 0)
        if len(columns):
            rows = owner[columns]
            tracks[rows] = _continued(tracks[rows], boxes[columns], scores[columns], seconds)
            tracks["kind"][rows] = found.class_id[columns]
        new = np.flatnonzero((owner < 0) & sure)
        if len(new):
            owner[new] = len(tracks) + np.arange(len(new))
            kinds = found.class_id[new]
            tracks = np.concatenate([tracks, _begun(boxes[new], scores[new], kinds, groups[new], seconds)])
            left = np.concatenate([left, np.zeros(len(new), np.bool_)])
        self._settle(tracks, seconds)
        numbers = np.full(len(boxes), NONE, np.int64)
        owned = owner >= 0
        numbers[owned] = tracks["number"][owner[owned]]
        self._keep(tracks, left, "left")
        self._time = self._now = seconds
        self._rested = 0.0
        return numbers

    def between(self, seconds: float, size: tuple[int, int], is_still: bool = False) -> list[Track]:
        """The tracks with a number where they must be in the next frame, at which no detector looks: those that it saw
        when it looked last. Who was hidden then is not there, nor is who must have left by now, nor who is lost by now.

        Args:
            seconds, size: of the frame, as `update` takes them.
            is_still: nothing has moved since the frame before, so the tracks stay where they were, and none gets older.

        Returns:
            each with its last box, which goes on as its Kalman filter says, clipped to the picture.
        """
        if self._time is None:
            return []
        self._rested += max(seconds - self._now, 0) if is_still else 0
        self._now = seconds
        waited = seconds - self._time - self._rested
        tracks = self._tracks[(self._tracks["seen"] == self._time) & (waited <= self._memory + SOON)]
        tracks["box"] += np.tile(tracks["motion"][:, 1, :2] * max(waited, 0), 2)
        tracks = tracks[~_is_outside(_centres(tracks["box"]), size)]
        tracks["box"] = clip(tracks["box"], *size)
        return _told(tracks)

    def known(self) -> list[Track]:
        """Those that have a number, as they are now."""
        return _told(self._tracks)

    def _waiting(self, seconds: float, before: float) -> _Table:
        """The tracks that still wait, where they must be now."""
        tracks = self._tracks
        tracks["rested"] += self._rested
        waited = seconds - tracks["seen"] - tracks["rested"]
        # However rare frames are, one without a number waits for the next.
        doubtful = (tracks["number"] == NONE) & (waited > DOUBTFUL + SOON) & (tracks["seen"] < before)
        self.ended = []
        self._keep(tracks, doubtful | (waited > self._memory + SOON), "lost")
        if len(self._tracks):
            self._tracks["motion"] = predicted(self._tracks["motion"], max(seconds - before - self._rested, 0))
        return self._tracks

    def _keep(self, tracks: _Table, over: NDArray[np.bool_], how: Literal["left", "lost"]) -> None:
        """Go on with the tracks that are not over."""
        if over.any():
            self.ended += _told(tracks[over], how)
            tracks = tracks[~over]
        self._tracks = tracks

    def _settle(self, tracks: _Table, seconds: float) -> None:
        """Give numbers to those that score enough and were seen twice; in the first frame, to all who score enough."""
        ready = (tracks["number"] == NONE) & (tracks["seen"] == seconds) & (tracks["score"] >= self._start)
        if self._time is not None:
            ready &= tracks["hits"] > 1
        many = int(ready.sum())
        if many:
            tracks["number"][ready] = self._last + 1 + np.arange(many)
            self._last += many


class _Choice:
    """Tracks choose among the boxes of a frame, pass by pass; who has chosen, and what is taken, is out.

    Attributes:
        owner: (M,) the row of each box's track, -1 where it has none.
        waits: (N,) whether a track has no box.
    """

    def __init__(self, tracks: _Table, boxes: Boxes, scores: NDArray[np.float64], groups: NDArray[np.int64]) -> None:
        self.owner = np.full(len(boxes), -1)
        self._tracks, self._boxes, self._scores, self._groups = tracks, boxes, scores, groups
        self.waits = np.ones(len(tracks), np.bool_)

    def run(self, who: NDArray[np.bool_], what: NDArray[np.bool_], likeness_of: _Likeness) -> None:
        """One pass. Args: which tracks (N,), which boxes (M,), and how alike they are."""
        rows, columns = np.flatnonzero(self.waits & who), np.flatnonzero((self.owner < 0) & what)
        if not len(rows) or not len(columns):
            return
        tracks = self._tracks[rows]
        likeness = likeness_of(tracks, self._boxes[columns], self._scores[columns])
        likeness[tracks["group"][:, None] != self._groups[columns]] = 0
        a, b = matched(likeness, FEW)
        self.owner[columns[b]] = rows[a]
        self.waits[rows[a]] = False


def _as_expected(tracks: _Table, boxes: Boxes, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) how well boxes fit tracks where these must be now, and look like them; 0 of those that are not near."""
    there = boxes_of(tracks["motion"])
    overlap = iou(_buffered(there, BUFFER), _buffered(boxes, BUFFER)).astype(np.float64)
    top, bottom = there[:, 1:2], there[:, 3:]
    common = np.minimum(bottom, boxes[:, 3]) - np.maximum(top, boxes[:, 1])
    height = common / (np.maximum(bottom, boxes[:, 3]) - np.minimum(top, boxes[:, 1]))  # IoU of the heights
    last = _centres(tracks["box"])
    path, step = (last - tracks["trail"])[:, None], _centres(boxes) - last[:, None]
    same_way = (step * path.conj()).real / (np.abs(step) * np.abs(path) + FEW)  # cosine of the angle
    unlike = np.abs(tracks["score"][:, None] - scores)
    likeness = overlap * height + DIRECTION * same_way * scores - SCORE * unlike
    return np.where(overlap >= NEAR, np.maximum(likeness, FEW), 0)


def _exactly(tracks: _Table, boxes: Boxes, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) IoU of boxes and where the tracks must be now; 0 of those that are not near."""
    overlap = iou(boxes_of(tracks["motion"]), boxes)
    return np.where(overlap >= UNSURE_NEAR, overlap, 0).astype(np.float64)


def _where_it_was(tracks: _Table, boxes: Boxes, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) IoU of boxes and where the tracks were last, with a buffer; 0 of those that are not near."""
    overlap = iou(_buffered(tracks["box"], BUFFER), _buffered(boxes, BUFFER))
    return np.where(overlap >= NEAR, overlap, 0).astype(np.float64)


def _begun(
    boxes: Boxes, scores: NDArray[np.float64], kinds: NDArray[np.int64], groups: NDArray[np.int64], seconds: float
) -> _Table:
    """Tracks of objects that are seen for the first time."""
    tracks = np.zeros(len(boxes), _TRACK)
    tracks["number"], tracks["kind"], tracks["group"], tracks["hits"] = NONE, kinds, groups, 1
    tracks["since"] = tracks["seen"] = seconds
    tracks["score"], tracks["box"], tracks["trail"] = scores, boxes, _centres(boxes)
    tracks["motion"] = begun(boxes)
    return tracks


def _continued(tracks: _Table, boxes: Boxes, scores: NDArray[np.float64], seconds: float) -> _Table:
    """The same tracks after each was seen."""
    gap = seconds - tracks["seen"]
    tracks["hits"] += 1
    weight = np.maximum(1 - np.exp(-gap / STEADY), 1 / tracks["hits"])
    tracks["score"] += weight * (scores - tracks["score"])
    tracks["trail"] += (1 - np.exp(-gap / PATH)) * (_centres(tracks["box"]) - tracks["trail"])
    tracks["motion"] = corrected(tracks["motion"], boxes)
    tracks["box"], tracks["seen"], tracks["rested"] = boxes, seconds, 0
    return tracks


def _is_outside(centres: NDArray[np.complex128], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(N,) whether x + iy is outside of the picture."""
    x, y = centres.real, centres.imag
    return np.asarray((x < 0) | (y < 0) | (x > size[0]) | (y > size[1]))


def _told(tracks: _Table, how: Literal["left", "lost"] | None = None) -> list[Track]:
    """Of those that have a number."""
    rows = tracks[tracks["number"] != NONE]
    columns = (rows[name].tolist() for name in ("number", "kind", "since", "seen", "score", "box"))
    return [
        Track(number, kind, since, seen, score, tuple(box), how)
        for number, kind, since, seen, score, box in zip(*columns, strict=True)
    ]


@lru_cache(maxsize=16)
def _groups(labels: tuple[str, ...]) -> NDArray[np.int64]:
    """(L,) a number for each label, the same for near classes."""
    first = {name: names[0] for names in NEAR_CLASSES for name in names}
    names = [first.get(label, label) for label in labels]
    return np.array([names.index(name) for name in names], np.int64)


def _centres(boxes: Boxes) -> NDArray[np.complex128]:
    """(N,) x + iy in pixels."""
    return (boxes[:, 0] + boxes[:, 2]) / 2 + 0.5j * (boxes[:, 1] + boxes[:, 3])


def _buffered(boxes: Boxes, share: float) -> Boxes:
    """The boxes (N, 4), larger by a share of their sides on each side."""
    reach = (boxes[:, 2:] - boxes[:, :2]) * np.float32(share)
    return np.concatenate([boxes[:, :2] - reach, boxes[:, 2:] + reach], axis=1)
