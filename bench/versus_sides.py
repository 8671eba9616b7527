"""What a user would pick instead of Watchline, each as its tutorials have it. One function a side.

A side takes the clip, the model (its own form of it), the side of the input and a folder. It gives, from its first
finished frame to its closed file, the frames per second and the processor's milliseconds per frame; the detections per
frame, and the megabytes of its video.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.engines.cores import cores
from watchline.pipeline.annotate import Annotate
from watchline.pipeline.job import Job
from watchline.pipeline.message import Item
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame

CONF, IOU = 0.25, 0.45
Result = dict[str, Any]
Image = NDArray[np.uint8]


def watchline(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """`watchline annotate`: decode, detect, draw, encode H.264."""
    detector = Detector(model=str(model), runtime="onnxruntime", imgsz=imgsz, conf=CONF, iou=IOU)
    job = Annotate(Job([FileSource(clip)], [detector, Annotator()], [Files(out, overwrite=True)]))
    watch, first = _Watch(), 0
    for progress in job.run():
        if progress.frames and not first:
            watch, first = _Watch(), progress.frames
    [outcome] = job.outcomes
    if outcome.error:
        raise SystemExit(outcome.error)
    speed = watch.speed(outcome.frames - first)
    video, events = outcome.outputs
    found = sum(len(json.loads(line).get("detections", ())) for line in events.read_text().splitlines())
    return {**speed, "detections": found / outcome.frames, "MB": video.stat().st_size / 1e6}


def plain(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """The loop that everybody writes first: VideoCapture, our engine with all threads, our drawing, VideoWriter."""
    detector = Detector(
        model=str(model), runtime="onnxruntime", imgsz=imgsz, conf=CONF, iou=IOU, workers=1, threads=cores()
    )
    with detector.open() as detect, Annotator().open() as annotate:

        def process(index: int, pixels: Image) -> tuple[Image, int]:
            frame = Frame("plain", index, index, 1 / 25, ArrayPicture(pixels), 0.0)  # type: ignore[arg-type]
            [item] = annotate(detect([Item(frame)]))  # type: ignore[operator]
            return item.drawn, len(item.detections)

        return _looped(clip, out, (process(n, pixels) for n, pixels in enumerate(_captured(clip))))


def opencv_dnn(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """OpenCV alone: its DNN, its NMS, its drawing, with all threads."""
    net = cv2.dnn.readNetFromONNX(str(model))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)

    def process(pixels: Image) -> tuple[Image, int]:
        net.setInput(_blob(pixels, imgsz))
        return _drawn(pixels, net.forward(), imgsz)

    return _looped(clip, out, map(process, _captured(clip)))


def openvino(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """OpenVINO's asynchronous pipeline: as many requests as it likes best, results in order, OpenCV around it."""
    from openvino import Core

    # On some CPUs OpenVINO would compute in 16 bits, unlike the other sides.
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = Core().compile_model(str(model), "CPU", hints)
    requests = [
        compiled.create_infer_request() for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    ]

    def processed() -> Iterator[tuple[Image, int]]:
        waiting: list[tuple[Any, Image]] = []
        free = list(requests)
        for pixels in _captured(clip):
            if not free:
                yield done(*waiting.pop(0), free)
            request = free.pop()
            request.start_async({0: _blob(pixels, imgsz)})
            waiting.append((request, pixels))
        for request, pixels in waiting:
            yield done(request, pixels, free)

    def done(request: Any, pixels: Image, free: list[Any]) -> tuple[Image, int]:
        request.wait()
        output = request.get_output_tensor(0).data.copy()
        free.append(request)
        return _drawn(pixels, output, imgsz)

    return _looped(clip, out, processed())


def ultralytics(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """`YOLO(onnx).predict(save=True)`; its OpenCV writes Motion JPEG, which costs less than H.264 and takes more."""
    from ultralytics import YOLO  # it takes seconds, and changes the threads of OpenCV and torch

    settings = {"imgsz": imgsz, "conf": CONF, "iou": IOU, "device": "cpu", "verbose": False}
    folder = {"project": str(out.parent.resolve()), "name": out.name, "exist_ok": True}
    results = YOLO(model, task="detect").predict(str(clip), stream=True, save=True, **settings, **folder)
    first, watch = len(next(results).boxes), _Watch()
    counts = [first, *(len(result.boxes) for result in results)]  # its end closes the file
    speed = watch.speed(len(counts) - 1)
    return {**speed, "detections": sum(counts) / len(counts), "MB": (out / f"{clip.stem}.avi").stat().st_size / 1e6}


def decode_only(clip: Path, model: Path, imgsz: int, out: Path) -> Result:
    """FFmpeg's decoder with all threads, and nothing else: no chain in front of it is faster."""
    with av.open(str(clip), metadata_errors="replace") as container:
        video = container.streams.video[0]
        video.thread_type, video.thread_count = "AUTO", cores()
        watch, frames = _Watch(), sum(1 for _ in container.decode(video))
    return {**watch.speed(frames), "detections": None, "MB": None}


SIDES: dict[str, Callable[[Path, Path, int, Path], Result]] = {
    "watchline": watchline,
    "plain OpenCV loop, ONNX Runtime": plain,
    "OpenCV DNN": opencv_dnn,
    "OpenVINO, asynchronous": openvino,
    "ultralytics predict": ultralytics,
    "FFmpeg, decoding only": decode_only,
}
OURS = (watchline, plain, decode_only)  # that take the model as it is


class _Watch:
    """The clock, and the process's processor time, from its making on."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def speed(self, frames: int) -> Result:
        """Of so many frames, the last of which is done now."""
        wall, spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        return {"fps": frames / wall, "cpu": spent / frames * 1e3}


def _captured(clip: Path) -> Iterator[Image]:
    capture = cv2.VideoCapture(str(clip))
    while True:
        good, pixels = capture.read()
        if not good:
            break
        yield np.asarray(pixels, np.uint8)
    capture.release()


def _looped(clip: Path, out: Path, frames: Iterator[tuple[Image, int]]) -> Result:
    """Write what a loop gives as OpenCV's MPEG-4, from the first frame on timed."""
    out.mkdir(parents=True, exist_ok=True)
    path, found, done = out / "plain.mp4", 0, 0
    watch, writer = _Watch(), None
    for pixels, count in frames:
        if writer is None:
            size = pixels.shape[1], pixels.shape[0]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
        writer.write(pixels)
        watch = watch if done else _Watch()
        found, done = found + count, done + 1
    if writer is None:
        raise SystemExit(f"{clip}: OpenCV reads no frame of it")
    writer.release()
    return {**watch.speed(done - 1), "detections": found / done, "MB": path.stat().st_size / 1e6}


def _blob(pixels: Image, imgsz: int) -> NDArray[np.float32]:
    """(1, 3, imgsz, imgsz) RGB in 0..1, the picture at the top left, the rest grey."""
    scale = imgsz / max(pixels.shape[:2])
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    canvas = np.full((imgsz, imgsz, 3), 114, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(pixels, size)
    return np.asarray(cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True), np.float32)


def _drawn(pixels: Image, output: NDArray[np.float32], imgsz: int) -> tuple[Image, int]:
    """The picture with boxes and labels, and their number. Args: output, (1, 4 + C, N)."""
    rows = output[0].T
    classes, scores = rows[:, 4:].argmax(1), rows[:, 4:].max(1)
    good = scores > CONF
    boxes, classes, scores = rows[good, :4] * (max(pixels.shape[:2]) / imgsz), classes[good], scores[good]
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], 1)  # x, y, width, height
    kept = np.asarray(cv2.dnn.NMSBoxesBatched(corners.tolist(), scores.tolist(), classes.tolist(), CONF, IOU)).ravel()
    for n in kept.astype(int):
        x, y, w, h = corners[n].astype(int).tolist()
        cv2.rectangle(pixels, (x, y), (x + w, y + h), (0, 255, 0), 2)
        cv2.putText(pixels, f"{classes[n]} {scores[n]:.2f}", (x, y - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1)
    return pixels, len(kept)
