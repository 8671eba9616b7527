"""Label Studio's tasks with predictions: `labelstudio/photos.json` and `videos.json`.

A project is of photos or of videos: `photos.xml` and `videos.xml` are their labelling interfaces. The photos and videos
are where Label Studio serves local files, below its document root: `/data/local-files/?d=NAME`. Boxes are in per cent
of the picture. The format: https://labelstud.io/guide/predictions.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from watchline.streams.errors import EventsRefused
from watchline.streams.events.frames import Found, FrameEvent
from watchline.streams.events.survey import Stream, Survey
from watchline.streams.formats.json_list import write_list
from watchline.streams.formats.tracks import Track, tracks_of
from watchline.text import printable

PLACE = "labelstudio"
SERVED = "/data/local-files/?d="
RATE = 25.0  # frames per second of a video of which only one frame is known

PHOTOS = """<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="label" toName="image">
{}  </RectangleLabels>
</View>
"""
VIDEOS = """<View>
  <Labels name="label" toName="video" allowEmpty="true">
{}  </Labels>
  <Video name="video" value="$video" framerate="$fps"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""


def write(survey: Survey, folder: Path) -> list[str]:
    """Write them into a folder. Raises OSError: it cannot be written; EventsRefused: all streams are of cameras."""
    place = folder / PLACE
    place.mkdir(parents=True)
    photos = [name for name, stream in survey.streams.items() if stream.are_photos]
    live = [name for name, stream in survey.streams.items() if stream.is_live]
    videos = [name for name in survey.streams if name not in {*photos, *live}]
    if not photos and not videos:
        raise EventsRefused(f"{live[0]} is of a camera: expected photos or videos, which Label Studio has")
    labels = "".join(f"    <Label value={quoteattr(printable(label))}/>\n" for label in survey.labels)
    if photos:
        tasks = (_photo(survey, frame) for name in photos for frame in survey.frames(name))
        _write(place / "photos.json", tasks)
        (place / "photos.xml").write_text(PHOTOS.format(labels), "utf-8")
    if videos:
        _write(place / "videos.json", (_video(survey, name) for name in videos))
        (place / "videos.xml").write_text(VIDEOS.format(labels), "utf-8")
    return [f"{name} is of a camera, whose frames are in no file by their number: left out" for name in live]


def _write(file: Path, tasks: Iterator[Mapping[str, Any]]) -> None:
    with file.open("x", encoding="ascii") as text:
        write_list(text, tasks)


def _photo(survey: Survey, frame: FrameEvent) -> dict[str, Any]:
    size = {"original_width": frame.width, "original_height": frame.height, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    results = [
        {
            "id": str(number),
            **names,
            **size,
            "value": {**_box(found, (frame.width, frame.height)), "rectanglelabels": [printable(found.label)]},
            "score": found.score,
        }
        for number, found in enumerate(frame.found)
    ]
    image = SERVED + quote(survey.picture_of(frame).as_posix())
    return {"data": {"image": image}, "predictions": [{"model_version": survey.model, "result": results}]}


def _video(survey: Survey, name: str) -> dict[str, Any]:
    stream = survey.streams[name]
    about = {"framesCount": stream.last + 1, "duration": round((stream.last + 1) / _rate(stream), 3)}
    names = {"from_name": "box", "to_name": "video", "type": "videorectangle"}
    results = [
        {
            "id": str(number),
            **names,
            "value": {**about, "sequence": _sequence(track, stream.size), "labels": [printable(track.label)]},
            "score": round(sum(box.found.score for box in track.boxes) / len(track.boxes), 4),
        }
        for number, track in enumerate(tracks_of(survey, name))
    ]
    data = {"video": SERVED + quote(stream.source), "fps": round(_rate(stream), 3)}
    return {"data": data, "predictions": [{"model_version": survey.model, "result": results}]}


def _sequence(track: Track, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Key frames, from 1. One that is not enabled ends what is seen of the object."""
    return [
        {
            "frame": box.frame + 1,
            "time": round(box.seconds, 6),
            "enabled": box.gone is None and box is not track.boxes[-1],
            **_box(box.found, size),
        }
        for box in track.boxes
    ]


def _box(found: Found, size: tuple[int, int]) -> dict[str, float]:
    """In per cent of the picture, within it."""
    (x1, x2), (y1, y2) = (
        [100 * min(max(side, 0.0), most) / most for side in sides]
        for sides, most in zip((found.box[::2], found.box[1::2]), size, strict=True)
    )
    sides = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0.0}
    return {name: round(value, 6) for name, value in sides.items()}


def _rate(stream: Stream) -> float:
    """Frames per second of a video."""
    seconds = stream.seconds - stream.begin
    return (stream.last - stream.first) / seconds if seconds > 0 else RATE
