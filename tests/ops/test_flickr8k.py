import pytest

from watchline.ops.errors import AnnotationRefused
from watchline.ops.flickr8k import read


@pytest.fixture
def folder(tmp_path):
    lines = [f"{name}.jpg#{i}\tA {name} runs {i} ." for name in ("dog", "cat") for i in range(5)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    (tmp_path / "Flickr_8k.testImages.txt").write_text("cat.jpg\n")
    return tmp_path


def test_the_photos_of_a_split_have_their_captions(folder):
    photos, written = read(folder, "test")
    assert photos == [folder / "images" / "cat.jpg"]
    assert written == [[["a", "cat", "runs", str(i)] for i in range(5)]]


def test_a_folder_of_another_layout_is_named(folder):
    with pytest.raises(AnnotationRefused, match=r"expected Flickr8k's layout: .*Flickr_8k\.devImages\.txt"):
        read(folder, "dev")
    (folder / "Flickr_8k.testImages.txt").write_text("cow.jpg\ncat.jpg\n")
    with pytest.raises(AnnotationRefused, match=r"1 of the 2 photos of test have no caption .* e\.g\. \['cow\.jpg'\]"):
        read(folder, "test")
    (folder / "Flickr_8k.testImages.txt").write_text("")
    with pytest.raises(AnnotationRefused, match="0 of the 0 photos"):
        read(folder, "test")
