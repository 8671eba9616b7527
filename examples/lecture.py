"""Walk through the lecture with one photo: writes a page with a picture for each of its systems.

    python examples/lecture.py photo.jpg page.html
    python examples/lecture.py photo.jpg page.html overfeat.onnx yolo.onnx ssd.onnx

The first shows the systems whose models ship. Others, which `watchline train` and `watchline export` make, are named.
"""

import base64
import html
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import watchline
from watchline.engines import zoo
from watchline.engines.language import LanguageModel
from watchline.ops.attention import attention_picture
from watchline.ops.boxes import iou
from watchline.ops.selective_search import selective_search
from watchline.ops.superpixels import felzenszwalb
from watchline.pipeline.attention import attention
from watchline.pipeline.write import write

if len(sys.argv) < 3 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

photo, chapters = cv2.imread(sys.argv[1]), []
if photo is None:
    sys.exit(f"{sys.argv[1]} is not a photo that can be read")
if (scale := 640 / max(photo.shape)) < 1:
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def chapter(title: str, text: str, *pictures: NDArray[np.uint8]) -> None:
    """Add it to the page, with its pictures side by side."""
    shown = [base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode() for picture in pictures]
    images = "".join(f'<img alt="{html.escape(title)}" src="data:image/jpeg;base64,{data}">' for data in shown)
    chapters.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>{images}")
    print(f"{title}: {text}")


def found_by(**settings: Any) -> watchline.Detections:
    """What a detector finds in the photo."""
    [(_, found)] = watchline.detect(photo, **settings)
    return found


found = found_by()
every = found_by(iou=1.0, conf=0.1)
text = f"{len(every)} boxes score at least 0.1; {len(found)} are left"
chapter("Non-maximum suppression", text, *(watchline.draw(photo, boxes, labels=False) for boxes in (every, found)))

parts, proposals = felzenszwalb(photo), selective_search(photo)[:2000]
coherent = np.stack([photo[parts == part].mean(0) for part in range(parts.max() + 1)])[parts]
best = iou(found.xyxy, proposals).max(1, initial=0).mean() if len(found) else 0
text = f"{parts.max() + 1} superpixels; of {len(proposals)} proposals, the best overlap what YOLOv2 finds by {best:.2f}"
chapter("Superpixels and Selective Search", text, coherent.astype(np.uint8))

for model in ("yolov2-lite0", *sys.argv[3:], "mask-rcnn-lite0"):
    found = found_by(model=model)
    names = ", ".join(f"{name} {score:.2f}" for name, score in zip(found.names, found.confidence, strict=True))
    chapter(Path(model).stem, names or "it finds nothing", watchline.draw(photo, found))

[(_, areas)] = watchline.segment(photo)
canvas = watchline.Canvas(photo)
canvas.class_map(areas)
chapter("Fully convolutional network", f"each pixel is one of {', '.join(areas.labels)}", canvas.picture())

seen = attention(photo, watchline.Captioner())
chapter("Show, Attend and Tell", seen.text, attention_picture(photo, seen.words, seen.maps))

question = "What is the object on the table?"
seen = watchline.ask(photo, watchline.Asker(question=question), attention=True)
text = f"{question} {seen.answer.text}"
chapter("Visual question answering", text, attention_picture(photo, seen.words, seen.maps))

with LanguageModel(zoo.find(zoo.WRITER, zoo.TEXT)) as model:
    chapter("LSTM", "".join(["ROMEO:", *write(model, "ROMEO:", 200, 0.8, np.random.default_rng(0))]))

style = "body{font:16px sans-serif;max-width:60em;margin:auto;padding:1em}img{max-width:100%}p{white-space:pre-wrap}"
head = '<!doctype html><html lang="en"><meta charset="utf-8">'
head += f'<meta name="viewport" content="width=device-width"><title>The lecture</title><style>{style}</style>'
Path(sys.argv[2]).write_text(f"{head}<h1>The lecture</h1>{''.join(chapters)}", encoding="utf-8")
