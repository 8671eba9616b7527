"""Where YOLO's layout has the labels of a photo."""

from pathlib import Path

from watchline.streams.layouts import yolo


def test_the_folder_of_labels_replaces_the_last_folder_of_images():
    assert yolo.label_file(Path("/images/a/images/b/c.d.png")) == Path("/images/a/labels/b/c.d.txt")
    assert yolo.label_file(Path("/images/a.png"), yolo.UNSURE) == Path("/unsure/a.txt")
    assert yolo.label_file(Path("/photos/a.png")) == Path("/photos/a.txt")
