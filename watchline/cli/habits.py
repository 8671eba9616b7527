"""What options are called elsewhere, for those who type them out of habit."""

from collections.abc import Collection

from watchline.errors import unknown

SAME = {
    "--confidence": "--conf",
    "--conf-thres": "--conf",
    "--threshold": "--conf",
    "--iou-thres": "--iou",
    "--weights": "--model",
    "-m": "--model",
    "--img": "--imgsz",
    "--img-size": "--imgsz",
    "--project": "--out",
    "--output": "--out",
    "--save-dir": "--out",
    "-o": "--out",
    "--vid-stride": "--every",
    "--nosave": "--no-video",
    "--exist-ok": "--overwrite",
    "--force": "--overwrite",
}
OTHERWISE = {
    "--source": "inputs have no option: watchline annotate clip.mp4",
    "--input": "inputs have no option: watchline annotate clip.mp4",
    "-i": "inputs have no option: watchline annotate clip.mp4",
    "--device": "the runtime says what computes: --runtime onnxruntime, openvino, cuda or tensorrt",
    "--half": "a model of half precision is made once, by watchline export … --precision fp16",
    "--save-txt": "the events are always written, as NAME.jsonl; watchline convert OUT --to yolo makes texts of them",
}


def unknown_option(word: str, known: Collection[str]) -> str:
    """One line for an option that a command does not have. Args: known, the options that it has."""
    if SAME.get(word) in known:
        return f"unknown option {word!r}: did you mean {SAME[word]!r}?"
    if word in OTHERWISE:
        return f"unknown option {word!r}: {OTHERWISE[word]}"
    return unknown("option", word, [name for name in known if name.startswith("--")])
