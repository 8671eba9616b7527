import cv2
import numpy as np
import pytest
import torch
from pictures import picture

from watchline.train.views import GREY, IGNORED, SMALLEST, Layout, Store, ViewSettings, draw, lay_out, sample, targets

CPU = torch.device("cpu")
SIZE = 96


@pytest.fixture
def store():
    pictures = [picture(0), picture(1, 90, 50, boxes=((5, 5, 40, 80), (0, 60, 20, 90))), picture(2, boxes=(), group=1)]
    return Store.of([*pictures, picture(3, 33, 47, opened=[1, 14], group=2)], CPU, threads=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slowly_sampled(pictures, layout, b, y, x):
    """One pixel (3,) of one view: find the window, go back to the picture, mix its four pixels."""
    column = sum(x >= int(layout.x[b, i]) for i in (1, 2))
    row = sum(y >= int(layout.y[b, i]) for i in (1, 2))
    w = row * 3 + column
    image = pictures[int(layout.picture[b, w])]
    if float(layout.width[b, w]) / image.shape[1] < 0.5:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    u = (x + 0.5 - float(layout.left[b, w])) / float(layout.width[b, w])
    v = (y + 0.5 - float(layout.top[b, w])) / float(layout.height[b, w])
    if not (0 <= u < 1 and 0 <= v < 1):
        return np.full(3, GREY)
    if layout.mirrored[b, w]:
        u = 1 - u
    height, width = image.shape[:2]
    px, py = u * width - 0.5, v * height - 0.5
    total = np.zeros(3)
    for j in (0, 1):
        for i in (0, 1):
            weight = abs(1 - i - (px - np.floor(px))) * abs(1 - j - (py - np.floor(py)))
            at = image[int(np.clip(np.floor(py) + j, 0, height - 1)), int(np.clip(np.floor(px) + i, 0, width - 1))]
            total += weight * at[::-1]
    return total


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["one", "four", "nine"])
def test_every_pixel_is_what_its_window_shows(shares):
    packed = [picture(0), picture(1, 90, 50), picture(2, 33, 47)]
    layout = lay_out(Store.of(packed, CPU, 1), 3, SIZE, ViewSettings(shares=shares, single=(0.3, 1.6)), generator(1))
    images = sample(Store.of(packed, CPU, 1), layout, SIZE)
    decoded = [cv2.imdecode(p.jpeg, cv2.IMREAD_COLOR) for p in packed]
    rng = np.random.default_rng(0)
    for b in range(3):
        for y, x in rng.integers(0, SIZE, (150, 2)):
            expected = slowly_sampled(decoded, layout, b, int(y), int(x))
            assert images[b, :, y, x].numpy() == pytest.approx(expected, abs=0.6), (b, y, x)


@pytest.mark.parametrize(("shares", "count"), [((1, 0, 0), 1), ((0, 1, 0), 4), ((0, 0, 1), 9)])
def test_windows_tile_the_view(store, shares, count):
    layout = lay_out(store, 8, SIZE, ViewSettings(shares=shares), generator())
    window = layout.windows()
    area = (window[..., 2:] - window[..., :2]).prod(-1)
    assert (area.sum(1) == SIZE * SIZE).all()
    assert ((area > 0).sum(1) == count).all()


def test_a_box_goes_with_its_picture_and_is_cut_at_its_window(store):
    layout = lay_out(store, 16, SIZE, ViewSettings(), generator(3))
    found = targets(store, layout)
    seen = {}
    for b in range(16):
        for w in range(9):
            which = int(layout.picture[b, w])
            edges = layout.windows()[b, w].numpy()
            for m in range(int(store.valid[which].sum())):
                box = store.boxes[which, m].numpy() / np.tile([store.width[which, 0], store.height[which, 0]], 2)
                if layout.mirrored[b, w]:
                    box = np.array([1 - box[2], box[1], 1 - box[0], box[3]])
                box = box * np.tile([layout.width[b, w], layout.height[b, w]], 2)
                box = box + np.tile([layout.left[b, w], layout.top[b, w]], 2)
                cut = np.clip(box, np.tile(edges[:2], 2), np.tile(edges[2:], 2))
                visible = (cut[2:] - cut[:2]).prod() / (box[2:] - box[:2]).prod()
                if visible > 0.1 and (cut[2:] - cut[:2]).min() > 1:
                    ignored = visible < IGNORED or (cut[2:] - cut[:2]).min() < SMALLEST
                    seen[b, tuple(cut.round(2).tolist())] = bool(ignored)
    assert {
        (int(b), tuple(np.round(box.tolist(), 2).tolist())): bool(i)
        for b, box, i in zip(found.image, found.boxes, found.ignore, strict=True)
    } == pytest.approx(seen)
    assert len(seen) > 20


def test_open_classes_come_with_their_windows(store):
    layout = lay_out(store, 8, SIZE, ViewSettings(shares=(0, 1, 0)), generator())
    found = targets(store, layout)
    assert len(found.open_image) == int((layout.picture == 3).sum()) > 0
    assert found.open_classes[:, [1, 14]].all()
    assert found.open_classes.sum() == 2 * len(found.open_image)


def test_one_picture_alone_lies_where_letterboxing_would_put_it_but_for_zoom_and_place():
    one = Store.of([picture()], CPU, 1)
    layout = lay_out(one, 4, SIZE, ViewSettings(shares=(1, 0, 0), single=(1, 1)), generator())
    longest = torch.maximum(layout.width[:, 0], layout.height[:, 0] * 80 / 60)
    assert (longest / SIZE).numpy() == pytest.approx(1, abs=0.16)  # the aspect changes a little
    assert isinstance(layout, Layout)


def test_a_batch_is_the_same_for_the_same_seed_and_another_for_another(store):
    (a, x), (b, y), (c, _) = (draw(store, 4, SIZE, ViewSettings(), generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(a, b)
    assert torch.equal(x.boxes, y.boxes)
    assert not torch.equal(a, c)
    assert a.shape == (4, 3, SIZE, SIZE)
    assert a.is_contiguous(memory_format=torch.channels_last)
    assert float(a.min()) >= 0
    assert float(a.max()) <= 255


def test_pictures_are_drawn_by_their_weights(store):
    layout = lay_out(store, 2000, SIZE, ViewSettings(), generator())
    shares = torch.bincount(layout.picture.flatten(), minlength=4) / layout.picture.numel()
    assert shares.numpy() == pytest.approx(store.weight.numpy(), abs=0.02)


def test_of_too_many_boxes_the_largest_stay():
    small = [(i % 10, i // 10, i % 10 + 2, i // 10 + 2) for i in range(90)]
    store = Store.of([picture(boxes=[*small, (0, 0, 60, 50)])], CPU, 1)
    assert store.boxes.shape[1] == 80
    assert store.boxes[0, 0].tolist() == [0, 0, 60, 50]
