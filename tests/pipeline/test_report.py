import json

import pytest

from watchline.pipeline.ledger import Ledger
from watchline.pipeline.meter import Meter
from watchline.pipeline.report import Report
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.detector import Detector

ADVICE = {"detector": Detector.advice, "encoder": Files.advice}


def run(busy):
    """The report of ten frames in ten seconds; busy: seconds each stage worked, with its workers."""
    ledger, meter = Ledger(), Meter()
    for i in range(10):
        ledger.decoded("a", i)
        ledger.annotated("a", i)
        meter.finished(0.1)
    for name, (seconds, workers) in busy.items():
        meter.stage(name, workers)
        for _ in range(10):
            meter.worked(name, 1, [0.002], seconds / 10)
    return Report.of(ledger, meter, 10.0, ADVICE)


@pytest.mark.parametrize(
    ("busy", "verdict"),
    [
        ({"decoder": (9.8, 1), "detector": (9.0, 2)}, "The decoder limits: it worked 98% of the time; more decode"),
        ({"decoder": (2, 1), "detector": (19.4, 2)}, "The detector limits: it worked 97% of the time; a smaller"),
        ({"decoder": (2, 1), "encoder": (9, 1)}, "The encoder limits: it worked 90% of the time; --no-video"),
        ({"decoder": (2, 1), "mine": (9, 1)}, "The mine limits: it worked 90% of the time; making it faster"),
        ({"decoder": (2, 1), "detector": (5, 2)}, "No stage limits: the busiest, the detector, worked 25%"),
    ],
)
def test_the_verdict_names_the_stage_its_share_and_the_remedy(busy, verdict):
    report = run(busy)
    assert report.verdict.startswith(verdict)
    assert report.as_text().endswith(report.verdict)


def test_a_run_without_frames_blames_no_stage():
    meter = Meter()
    meter.stage("decoder", 1)
    assert Report.of(Ledger(), meter, 0.0, {}).verdict == "No frame was written."


def test_the_dictionary_is_json_and_holds_the_ledger():
    data = json.loads(json.dumps(run({"decoder": (2, 1)}).as_dict()))
    assert data["fps"] == 1.0
    assert data["streams"]["a"] == {"decoded": 10, "annotated": 10, "dropped": {}, "in_flight": 0, "balances": True}
    assert data["stages"][0]["work_ms"]["p50"] == pytest.approx(200, rel=0.05)
    assert data["latency_ms"]["p99"] == pytest.approx(100, rel=0.05)


def test_the_verdict_says_what_is_wrong_with_the_budget():
    report = Report.of(Ledger(), Meter(), 1.0, {}, "the latency budget of 500ms is impossible here")
    assert report.verdict == "No frame was written. The latency budget of 500ms is impossible here."
    assert report.as_dict()["verdict"] == report.verdict
