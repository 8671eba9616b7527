"""What a model loses by a smaller precision: average precision by class, before and after, on labelled pictures.

lost = compare(Path("model.onnx"), Path("model-int8.onnx"), Path("VOC2007"))
print(lost.table())
"""

from dataclasses import dataclass
from pathlib import Path

from watchline.measure.accuracy import Accuracy, Progress, accuracy
from watchline.pipeline.stages.detector import Detector


@dataclass(frozen=True, slots=True)
class Drop:
    """Attributes:
    full: accuracy of the model as it was.
    small: of the other one, on the same pictures.
    """

    full: Accuracy
    small: Accuracy

    @property
    def per_class(self) -> dict[str, float]:
        """What each class loses of its average precision; below 0 where it gains, NaN where no object counts."""
        return {name: before - self.small.per_class[name] for name, before in self.full.per_class.items()}

    @property
    def mean(self) -> float:
        """What the mean over the classes loses; NaN if no object counts."""
        return self.full.mean - self.small.mean

    def table(self) -> str:
        """A row for each class and one for the mean, in Markdown."""
        full, small, lost = self.full.per_class, self.small.per_class, self.per_class
        rows = [(name, str(self.full.objects[name]), full[name], small[name], lost[name]) for name in full]
        rows.append(("mean", str(sum(self.full.objects.values())), self.full.mean, self.small.mean, self.mean))
        width = max(len(name) for name, *_ in rows)
        title = (
            f"AP at IoU {self.full.threshold:g} ({self.full.rule}) on {self.full.pictures} pictures of "
            f"{self.full.data} {self.full.split}"
        )
        head = [
            f"| {'':<{width}} | objects |  FP32 |   now |   lost |",
            f"| {'-' * width} | ------: | ----: | ----: | -----: |",
        ]
        return "\n".join(
            [title, "", *head]
            + [
                f"| {name:<{width}} | {n:>7} | {a:5.3f} | {b:5.3f} | {round(c, 3) + 0.0:6.3f} |"
                for name, n, a, b, c in rows
            ]
        )


def compare(
    full: Path,
    small: Path,
    data: Path,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> Drop:
    """Measure both models by the detector stage on the same pictures.

    Args:
        full, small: model files with the same labels.
        data: labelled pictures, as `accuracy` has them.
        runtime: that runs both; None for the usual one. Models in INT8 for TensorRT are measured by ONNX Runtime:
            OpenVINO 2026.4 rounds that form otherwise, and loses all that YOLOX-nano sees.
        progress: called as `accuracy` says, for one model and then for the other.

    Raises:
        what `accuracy` raises.
    """
    before, after = (
        accuracy(Detector(model=str(path), runtime=runtime), data, progress=progress) for path in (full, small)
    )
    return Drop(before, after)
