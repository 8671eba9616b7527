"""What a detector found in one frame, whatever the detector.

    people = found[(found.names == "person") & (found.confidence > 0.5)]
    for person in people:
        print(person.name, person.confidence, person.xyxy)

The attributes have the names that `supervision` gave them, so that its users know them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from watchline.ops.errors import DetectionsError, LibraryMissing
from watchline.ops.masks import Masks

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, slots=True)
class Detection:
    """One row of `Detections` in plain Python values, as iterating over them gives it.

    Attributes:
        xyxy: left, top, right, bottom in source pixels, half-open.
        confidence: in 0..1.
        class_id: index into the detector's labels.
        name: the label of that class.
        tracker_id: the number of its track; None where nobody tracked, and of one without a track.
        predicted: whether nobody looked, and this is where its track must be.
    """

    xyxy: tuple[float, float, float, float]
    confidence: float
    class_id: int
    name: str
    tracker_id: int | None = None
    predicted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Parallel arrays, one row a detection, best confidence first; checked once, when made.

    `found[rows]` takes an array of booleans or of indices, a slice or one index, and is Detections again, `found[0]` of
    one row; all columns go along. Iterating gives a `Detection` a row. Two of them are equal only if they are one
    object, as arrays have no truth of their own.

    Attributes:
        xyxy: (N, 4) float32 left, top, right, bottom in source pixels, half-open.
        confidence: (N,) float32 in 0..1.
        class_id: (N,) int64, index into `labels`.
        labels: the detector's class names.
        tracker_id: (N,) int64, the number of each one's track, -1 of one without a track; None where nobody tracked.
        masks: the pixels of each one in the source picture, N of them; None where nobody segmented.
        data: more columns by name, each an array of N rows.
        predicted: (N,) bool, of boxes where tracks must be in a frame that no detector looked at; None where one did.

    Raises:
        DetectionsError: the arrays do not fit together, or a class has no label. Numbers of another size are converted
            (float64 to float32), those of another kind are not (float to int).
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    labels: tuple[str, ...]
    tracker_id: NDArray[np.int64] | None = None
    masks: Masks | None = None
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    predicted: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        confidence = _array("confidence", self.confidence, np.float32, "N")
        n = len(confidence)
        columns: dict[str, object] = {
            "xyxy": _array("xyxy", self.xyxy, np.float32, n, 4),
            "confidence": confidence,
            "class_id": _array("class_id", self.class_id, np.int64, n),
            "labels": _names(self.labels),
            "data": {name: _rows(f"data[{name!r}]", column, n) for name, column in self.data.items()},
        }
        if self.tracker_id is not None:
            columns["tracker_id"] = _array("tracker_id", self.tracker_id, np.int64, n)
        if self.predicted is not None:
            columns["predicted"] = _array("predicted", self.predicted, np.bool_, n)
        if self.masks is not None and len(self.masks) != n:
            raise DetectionsError(f"masks has {len(self.masks)} objects: expected {n}, as many as confidence")
        for name, value in columns.items():
            object.__setattr__(self, name, value)
        wrong = self.class_id[(self.class_id < 0) | (self.class_id >= len(self.labels))]
        if len(wrong):
            raise DetectionsError(
                f"class_id has {wrong[0]}: expected 0 <= class_id < {len(self.labels)}, as many as labels"
            )

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, rows: Any) -> "Detections":
        """Args: rows as an array of booleans (N,), an array or list of indices, a slice, or one index.

        Raises:
            IndexError: there is no such row.
        """
        if isinstance(rows, int | np.integer):
            rows = [rows]
        return Detections(
            self.xyxy[rows],
            self.confidence[rows],
            self.class_id[rows],
            self.labels,
            None if self.tracker_id is None else self.tracker_id[rows],
            None if self.masks is None else self.masks[rows],
            {name: column[rows] for name, column in self.data.items()},
            None if self.predicted is None else self.predicted[rows],
        )

    def __iter__(self) -> Iterator[Detection]:
        tracks = [None] * len(self) if self.tracker_id is None else self.tracker_id.tolist()
        predicted = [False] * len(self) if self.predicted is None else self.predicted.tolist()
        columns = (self.xyxy.tolist(), self.confidence.tolist(), self.class_id.tolist(), tracks, predicted)
        for box, confidence, number, track, is_predicted in zip(*columns, strict=True):
            known = None if track is None or track < 0 else track
            yield Detection(tuple(box), confidence, number, self.labels[number], known, is_predicted)

    @property
    def names(self) -> NDArray[np.str_]:
        """(N,) the label of each detection."""
        return np.array(self.labels, np.str_)[self.class_id]

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(N, H, W) bool: the masks as whole planes, made anew at each call; None where nobody segmented."""
        return None if self.masks is None else self.masks.dense()

    @classmethod
    def none(cls, labels: tuple[str, ...]) -> "Detections":
        """No detections."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), labels)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain values for JSON, one dict a row, as the lines of events have them.

        [{"label": "person", "class": 14, "score": 0.91, "box": [x1, y1, x2, y2]}, …]: the score to four digits, the box
        to two, `track` where it has one, `predicted` where that is true, and `segmentation` where there are masks:
        {"size": [height, width], "counts": "…"}, COCO's run lengths.
        """
        outlines = [{}] * len(self) if self.masks is None else [{"segmentation": rle} for rle in self.masks.to_rle()]
        return [
            {
                "label": one.name,
                "class": one.class_id,
                "score": round(one.confidence, 4),
                "box": [round(side, 2) + 0.0 for side in one.xyxy],  # + 0.0 makes -0.0 a plain zero
            }
            | ({} if one.tracker_id is None else {"track": one.tracker_id})
            | ({"predicted": True} if one.predicted else {})
            | outline
            for one, outline in zip(self, outlines, strict=True)
        ]

    def to_supervision(self) -> "supervision.Detections":
        """The same for the library `supervision`, with the names where it looks for them: in `data["class_name"]`. What
        is predicted stands in `data["predicted"]`.

        Raises:
            LibraryMissing: it is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise LibraryMissing(
                f"supervision cannot be imported ({error}): pip install 'supervision>=0.31'"
            ) from error
        predicted = {} if self.predicted is None else {"predicted": self.predicted}
        return supervision.Detections(
            self.xyxy,
            self.mask,
            self.confidence,
            self.class_id,
            self.tracker_id,
            {**self.data, **predicted, "class_name": self.names},
        )


def _array(name: str, value: ArrayLike, dtype: DTypeLike, *shape: int | str) -> NDArray[Any]:
    """The value as an array of this type and shape; a letter in `shape` stands for any length.

    Raises:
        DetectionsError: it is of another kind or shape.
    """
    got = _asarray(name, value)
    fits = got.ndim == len(shape) and all(isinstance(a, str) or a == b for a, b in zip(shape, got.shape, strict=True))
    if not fits or (got.size and not np.can_cast(got.dtype, dtype, "same_kind")):
        wanted = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
        raise DetectionsError(f"{name} is {got.dtype} {got.shape}: expected {np.dtype(dtype)} {wanted}")
    return got.astype(dtype, copy=False)


def _rows(name: str, value: ArrayLike, n: int) -> NDArray[Any]:
    """The value as an array of any type with n rows."""
    got = _asarray(name, value)
    if got.shape[:1] != (n,):
        raise DetectionsError(f"{name} is {got.dtype} {got.shape}: expected {n} rows, as many as confidence")
    return got


def _asarray(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise DetectionsError(f"{name} is no array: {error}") from None


def _names(labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise DetectionsError(f"labels is {labels!r}: expected a tuple of names")
    return tuple(labels)
