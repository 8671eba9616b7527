"""`watchline bench vqa`: the figures, and the same as JSON."""

import json
from pathlib import Path

import models_onnx
import numpy as np
from cli.shell import within
from clips import write_photo


def test_a_row_of_figures_and_the_same_as_json(tmp_path: Path) -> None:
    models_onnx.save(models_onnx.tiny_vqa(), tmp_path)
    (tmp_path / "photos" / "images").mkdir(parents=True)
    write_photo(tmp_path / "photos" / "images" / "one.jpg", np.full((40, 40, 3), (0, 0, 200), np.uint8))
    rows = [{"image": "one", "question": "what colour ?", "answer": answer} for answer in (["red"], ["blue"])]
    (tmp_path / "photos" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("bench", "vqa", "--data", "photos", "--model", "tiny.onnx", "--json", "figures.json")
    done = within(tmp_path, *words)
    assert done.code == 0, done.err
    assert done.out[0].startswith("tiny at 64 x 32, onnxruntime")
    assert done.out[1].startswith("accuracy of single words  accuracy")
    assert done.out[2].split()[:2] == ["0.5000", "0.5000"]
    assert done.out[3].startswith("of 2 questions of photos test; ")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["accuracy of single words"], figures["answers"]) == (0.5, ["red", "red"])
    missing = within(tmp_path, "bench", "vqa", "--data", "nowhere", "--model", "tiny.onnx")
    assert missing.code == 2
    assert "expected DAQUAR's layout" in missing.err[-1]
