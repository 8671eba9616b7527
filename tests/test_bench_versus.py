"""bench/versus.py: the others get the same network as we do, and the table goes where the page wants it."""

import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from models_onnx import IMGSZ, save, tiny_detector

from watchline import engines
from watchline.engines import metadata

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the script imports from its own folder; tests have a `clips` of their own."""
    for name in ("clips", "usual_form", "versus_sides"):
        spec = spec_from_file_location(name, BENCH / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)


def test_the_usual_form_gives_the_same_boxes_and_scores(tmp_path: Path) -> None:
    model = save(tiny_detector(), tmp_path)
    adapt = runpy.run_path(str(BENCH / "usual_form.py"))["adapt"]
    adapted = adapt(model, metadata.read(model), IMGSZ, tmp_path / "usual.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (1, IMGSZ, IMGSZ, 3), np.uint8)
    with engines.load(model, "onnxruntime") as engine:
        ours = engine.infer(pixels)
    planes = cv2.dnn.blobFromImage(pixels[0], 1 / 255, swapRB=True)
    [theirs] = ort.InferenceSession(str(adapted)).run(None, {"images": planes})
    centres, sides, scores = theirs[0, :2].T, theirs[0, 2:4].T, theirs[0, 4:].T
    np.testing.assert_allclose(np.hstack([centres - sides / 2, centres + sides / 2]), ours["boxes"][0], atol=1e-3)
    np.testing.assert_allclose(scores, ours["scores"][0], atol=1e-5)


def test_the_table_replaces_what_stood_between_the_marks(tmp_path: Path) -> None:
    versus = runpy.run_path(str(BENCH / "versus.py"))
    page = tmp_path / "page.md"
    page.write_text(f"above\n{versus['BEGIN']}\nold\n{versus['END']}\nbelow\n")
    versus["_write"](page, "| new |")
    assert page.read_text() == f"above\n{versus['BEGIN']}\n\n| new |\n\n{versus['END']}\nbelow\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="expected the lines"):
        versus["_write"](page, "| new |")
    assert page.read_text() == "no marks"


def test_a_round_becomes_ratios() -> None:
    versus = runpy.run_path(str(BENCH / "versus.py"))
    one = {
        "watchline": {"fps": 30, "cpu": 50, "detections": 2, "MB": 1},
        "FFmpeg, decoding only": {"fps": 60, "cpu": 5, "detections": None, "MB": None},
    }
    text = versus["_text"](list(one), [one], "net", 0.06)
    assert "| watchline | 30.0 |  | 50.0 | 2.0 | 1.0 |" in text
    assert "| FFmpeg, decoding only | 60.0 | 0.50 (0.50 to 0.50) | 5.0 |  |  |" in text
    assert "takes 6.0% of the engine's time" in text


def test_the_page_has_the_marks() -> None:
    versus = runpy.run_path(str(BENCH / "versus.py"))
    page = (BENCH.parent / "docs" / "measured.md").read_text()
    assert page.index(versus["BEGIN"]) < page.index(versus["END"])
