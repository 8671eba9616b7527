"""`watchline bench map` on pictures with masks: COCO's average precision of boxes and masks."""

import argparse
from typing import TYPE_CHECKING

from watchline.cli.bench_report import report, what_runs
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE

if TYPE_CHECKING:
    from watchline.measure.mask_ap import MaskAP
    from watchline.pipeline.stages.detector import Detector


def run(options: argparse.Namespace, detector: "Detector") -> int:
    """Measure, and print a row for boxes and one for masks."""
    from watchline.measure import masked
    from watchline.measure.mask_ap import mask_ap

    about = what_runs(detector)
    split = masked.find_split(options.data, options.split)
    with counting("pictures") as progress:
        measured = mask_ap(detector, options.data, split, options.every, lambda done: progress(done, 0))
    report(options, about, as_text(measured), measured.as_dict())
    return DONE


def as_text(measured: "MaskAP") -> str:
    """A table, and under it what the figures are and what was left out."""
    rows = [f"{'':8}{'AP':>8}{'AP50':>8}{'AP75':>8}"]
    for name, one in (("boxes", measured.boxes), ("masks", measured.masks)):
        if one is not None:
            rows.append(f"{name:8}{one.ap:>8.4f}{one.ap50:>8.4f}{one.ap75:>8.4f}")
            if len(one.per_class) > 1:
                rows += [f"  {label}: {value:.4f}" for label, value in one.per_class.items()]
    rows.append(
        f"as COCO has it, IoU 0.50 to 0.95, on {measured.pictures} pictures of {measured.data} {measured.split} with "
        f"{sum(measured.objects.values())} objects; {measured.seconds:.1f} s"
    )
    if measured.unknown:
        rows.append(f"left out, as the model has no label for them: {', '.join(measured.unknown)}")
    return "\n".join(rows)
