"""Makes batches of training views on any device: one picture, or a mosaic of four or nine, scaled, cropped, recoloured.

Every view is a grid of three by three windows, of which one, four or nine have an area. Every window shows a part of
its own picture (mosaics of four: Bochkovskiy et al., "YOLOv4", 2020; of nine: many more small objects). Pictures are
stored on the device as one long row of pixels, so a batch needs a few gathers, and no loop over pictures.

The canvas is grey, as in letterboxing. If the view crops nearly all of an object, its box is dropped. If it crops
much of it, or if the box is very small, the box is ignored. Otherwise the box is clipped.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from watchline.models.single_shot import Targets
from watchline.ops import letterbox
from watchline.train.pictures import LabelledPicture, weights

GREY = float(letterbox.GREY[0])
DROPPED, IGNORED = 0.10, 0.35  # a box with a smaller visible share is dropped, or ignored
SMALLEST = 6.0  # pixels: a box with a shorter side is ignored
MOST = 80  # boxes per picture; the largest are kept
SIDE = 3  # windows per row and column
STRETCH = 0.15  # log of the largest random change of the aspect, up and down


@dataclass(frozen=True)
class ViewSettings:
    """The distribution of views.

    Attributes:
        shares: of views with one, four and nine pictures.
        single: range of the zoom of a single, letterboxed picture; log-uniform.
        mosaic: range of the zoom of a picture that covers its window; log-uniform.
        spoilt: share of views that are blurred; equal shares are made coarse, or get noise.
    """

    shares: tuple[float, float, float] = (0.30, 0.40, 0.30)
    single: tuple[float, float] = (0.5, 1.7)
    mosaic: tuple[float, float] = (0.65, 1.5)
    spoilt: float = 0.06


@dataclass(frozen=True)
class Store:
    """Labelled pictures on a device; N pictures, with up to M boxes each.

    Attributes:
        pixels: (P,) int32, four bytes each: red, green, blue and nothing; every picture at full and at half size.
        start, width, height: (N, 2) int64, of the picture at full and at half size.
        weight: (N,) float, probability of a picture.
        squashed: (N,) float, log of the factor by which the aspect ratio may have been changed.
        boxes (N, M, 4), classes, sure, ignore, valid (N, M): its boxes; `valid` is false for padding.
        open: (N, C) bool, classes of which not every object has a box.
    """

    pixels: Tensor
    start: Tensor
    width: Tensor
    height: Tensor
    weight: Tensor
    squashed: Tensor
    boxes: Tensor
    classes: Tensor
    sure: Tensor
    ignore: Tensor
    valid: Tensor
    open: Tensor

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @classmethod
    def of(cls, pictures: Sequence[LabelledPicture], device: torch.device, threads: int) -> "Store":
        """Decode the pictures on `threads` threads and copy them to the device."""
        with ThreadPoolExecutor(threads) as pool:
            decoded = list(pool.map(_decode, pictures))
        levels = [level for both in decoded for level in both]
        sizes = torch.tensor([level.shape for level in levels]).view(-1, 2, 2)
        counts = torch.tensor([len(level.reshape(-1)) for level in levels])
        rows = [np.argsort(-(p.boxes[:, 2:] - p.boxes[:, :2]).prod(1), kind="stable")[:MOST] for p in pictures]
        most = max(1, max(map(len, rows), default=1))

        def table(values: Sequence[NDArray[np.generic]], dtype: torch.dtype) -> Tensor:
            full = torch.zeros(len(pictures), most, *values[0].shape[1:], dtype=dtype)
            for i, (row, value) in enumerate(zip(rows, values, strict=True)):
                full[i, : len(row)] = torch.from_numpy(value[row])
            return full.to(device)

        valid = torch.arange(most)[None] < torch.tensor([len(row) for row in rows])[:, None]
        return cls(
            torch.from_numpy(np.concatenate([level.reshape(-1) for level in levels])).to(device),
            (counts.cumsum(0) - counts).view(-1, 2).to(device),
            sizes[..., 1].to(device),
            sizes[..., 0].to(device),
            torch.from_numpy(weights(pictures)).float().to(device),
            torch.tensor([p.squashed for p in pictures], dtype=torch.float32, device=device),
            table([p.boxes for p in pictures], torch.float32),
            table([p.classes for p in pictures], torch.int64),
            table([p.sure for p in pictures], torch.float32),
            table([p.ignore for p in pictures], torch.bool),
            valid.to(device),
            torch.from_numpy(np.stack([p.open for p in pictures])).to(device),
        )


def _decode(picture: LabelledPicture) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A picture at full and at half size, (H, W) int32 of four bytes."""
    bgr = cv2.imdecode(picture.jpeg, cv2.IMREAD_COLOR)
    assert bgr is not None, "a picture that was packed is a JPEG"
    half = cv2.resize(bgr, (max(1, bgr.shape[1] // 2), max(1, bgr.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    full, small = (
        np.ascontiguousarray(cv2.cvtColor(level, cv2.COLOR_BGR2RGBA)).view(np.int32)[..., 0] for level in (bgr, half)
    )
    return full, small


@dataclass(frozen=True)
class Layout:
    """Which part of which picture each window of each view shows. There are W = SIDE * SIDE windows, row by row.

    Attributes:
        picture: (B, W) int64.
        x, y: (B, SIDE + 1) int64, edges of the windows.
        left, top, width, height: (B, W) float, position and size of the complete picture in the view.
        mirrored: (B, W) bool.
    """

    picture: Tensor
    x: Tensor
    y: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    mirrored: Tensor

    def windows(self) -> Tensor:
        """(B, W, 4) int64 xyxy."""
        batch = len(self.x)
        x1, x2 = (e[:, None].expand(batch, SIDE, SIDE) for e in (self.x[:, :-1], self.x[:, 1:]))
        y1, y2 = (e[:, :, None].expand(batch, SIDE, SIDE) for e in (self.y[:, :-1], self.y[:, 1:]))
        return torch.stack([x1, y1, x2, y2], dim=-1).flatten(1, 2)


def draw(store: Store, batch: int, size: int, settings: ViewSettings, generator: Generator) -> tuple[Tensor, Targets]:
    """A batch of views: images (B, 3, S, S) float RGB in 0..255, with channels last in memory, and their targets."""
    layout = lay_out(store, batch, size, settings, generator)
    images = _recolour(sample(store, layout, size), settings, generator)
    return images, targets(store, layout)


def lay_out(store: Store, batch: int, size: int, settings: ViewSettings, generator: Generator) -> Layout:
    """Draw pictures, windows, positions, zooms and mirror images at random."""
    device, count = store.device, SIDE * SIDE

    def uniform(low: Tensor | float, high: Tensor | float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, device=device, generator=generator)

    picture = torch.multinomial(store.weight, batch * count, replacement=True, generator=generator).view(batch, count)
    shares = torch.tensor(settings.shares, dtype=torch.float32, device=device)
    kind = torch.multinomial(shares, batch, replacement=True, generator=generator)  # 0, 1, 2: one, four, nine
    x, y = (_edges(kind, size, uniform) for _ in range(2))
    one = (kind == 0)[:, None]
    low, high = (
        torch.where(one, math.log(a), math.log(b)) for a, b in zip(settings.single, settings.mosaic, strict=True)
    )
    zoom = uniform(low, high, batch, count).exp()
    lost = store.squashed[picture] * torch.where(uniform(0.0, 1.0, batch, count) < 0.6, 1.0, -1.0)
    aspect = (lost + uniform(-STRETCH, STRETCH, batch, count)).exp()
    wide, high_ = store.width[picture, 0].float(), store.height[picture, 0].float()
    layout = Layout(picture, x, y, wide, wide, wide, wide, uniform(0.0, 1.0, batch, count) < 0.5)
    window = layout.windows().float()
    room = window[..., 2:] - window[..., :2]  # (B, W, 2)
    fits = size / torch.maximum(wide, high_)
    covers = torch.maximum(room[..., 0] / wide, room[..., 1] / high_).clamp(min=1e-2)
    scale = torch.where(one, fits, covers) * zoom
    width, height = (wide * scale * aspect.sqrt()).clamp(min=2), (high_ * scale / aspect.sqrt()).clamp(min=2)
    spare = room - torch.stack([width, height], dim=-1)
    corner = window[..., :2] + uniform(spare.clamp(max=0), spare.clamp(min=0), batch, count, 2)
    return Layout(picture, x, y, corner[..., 0], corner[..., 1], width, height, layout.mirrored)


def _edges(kind: Tensor, size: int, uniform: Callable[..., Tensor]) -> Tensor:
    """(B, 4) int64: 0, two cuts, size. A cut at `size` leaves no window after it."""
    four, a, b = uniform(0.3, 0.7, len(kind)), uniform(0.25, 0.42, len(kind)), uniform(0.58, 0.75, len(kind))
    first = torch.where(kind == 0, 1.0, torch.where(kind == 1, four, a))
    second = torch.where(kind == 2, b, 1.0)
    return (torch.stack([torch.zeros_like(a), first, second, torch.ones_like(a)], dim=1) * size).long()


def sample(store: Store, layout: Layout, size: int) -> Tensor:
    """The images (B, 3, S, S) float of the windows, bilinear, from the half-size picture if its size is closer."""
    dtype = torch.float16 if store.device.type == "cuda" else torch.float32
    level = (layout.width / store.width[layout.picture, 0] < 0.5).long()
    start, wide, high = (t[layout.picture, level] for t in (store.start, store.width, store.height))  # (B, W)
    line = torch.arange(size, device=store.device)
    column = (line >= layout.x[:, 1, None]).long() + (line >= layout.x[:, 2, None])  # (B, S)
    row = (line >= layout.y[:, 1, None]).long() + (line >= layout.y[:, 2, None])
    each = torch.arange(SIDE, device=store.device)[:, None]
    across, down = each * SIDE + column[:, None], row[:, None] * SIDE + each  # (B, 3, S): windows, by row or column

    def of(table: Tensor, window: Tensor) -> Tensor:
        return table.gather(1, window.flatten(1)).view(window.shape)

    u = (line + 0.5 - of(layout.left, across)) / of(layout.width, across)  # (B, 3, S): share of the picture's width
    v = (line + 0.5 - of(layout.top, down)) / of(layout.height, down)
    x0, x1, fx, in_x = _neighbours(torch.where(of(layout.mirrored, across), 1 - u, u), of(wide, across))
    y0, y1, fy, in_y = _neighbours(v, of(high, down))
    first, second = (of(start, down) + y * of(wide, down) for y in (y0, y1))
    rows = row[:, :, None].expand(-1, -1, size)
    columns = column[:, :, None].expand(-1, -1, size)

    def over_x(q: Tensor) -> Tensor:  # (B, 3, S) by row of windows and x -> (B, y, x)
        return q.gather(1, rows)

    def over_y(q: Tensor) -> Tensor:  # (B, 3, S) by column of windows and y -> (B, y, x)
        return q.gather(1, columns).transpose(1, 2).contiguous()

    def rgb(index: Tensor) -> Tensor:  # (B, y, x, 3)
        return store.pixels[index].unsqueeze(-1).view(torch.uint8)[..., :3].to(dtype)

    right, down_ = over_x(fx.to(dtype))[..., None], over_y(fy.to(dtype))[..., None]
    left_x, right_x = over_x(x0), over_x(x1)
    lines = []
    for begin in (over_y(first), over_y(second)):
        a = rgb(begin + left_x)
        lines.append(a + (rgb(begin + right_x) - a) * right)
    mixed = lines[0] + (lines[1] - lines[0]) * down_
    shown = (over_x(in_x) & over_y(in_y))[..., None]
    return torch.where(shown, mixed, GREY).permute(0, 3, 1, 2)


def _neighbours(share: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For positions in 0..1 of a side: the two pixels around it, the weight of the second, and whether it is inside."""
    position = share * length - 0.5
    first = position.floor()
    a, b = first.long(), first.long() + 1
    last = length - 1
    return a.clamp(min=0).minimum(last), b.clamp(min=0).minimum(last), position - first, (share >= 0) & (share < 1)


def targets(store: Store, layout: Layout) -> Targets:
    """The boxes in the views, clipped to their windows."""
    window = layout.windows().float()[:, :, None]  # (B, W, 1, 4)
    scale_x = (layout.width / store.width[layout.picture, 0])[..., None]
    scale_y = (layout.height / store.height[layout.picture, 0])[..., None]
    boxes = store.boxes[layout.picture]  # (B, W, M, 4)
    x1, x2 = boxes[..., 0] * scale_x, boxes[..., 2] * scale_x
    width, mirrored = layout.width[..., None], layout.mirrored[..., None]
    x1, x2 = torch.where(mirrored, width - x2, x1), torch.where(mirrored, width - x1, x2)
    left, top = layout.left[..., None], layout.top[..., None]
    full = torch.stack([left + x1, top + boxes[..., 1] * scale_y, left + x2, top + boxes[..., 3] * scale_y], dim=-1)
    cut = torch.maximum(torch.minimum(full, window[..., 2:].repeat(1, 1, 1, 2)), window[..., :2].repeat(1, 1, 1, 2))
    sides = cut[..., 2:] - cut[..., :2]
    visible = sides.prod(-1) / (full[..., 2:] - full[..., :2]).prod(-1).clamp(min=1e-6)
    stays = store.valid[layout.picture] & (visible > DROPPED) & (sides.amin(-1) > 1)
    ignore = store.ignore[layout.picture] | (visible < IGNORED) | (sides.amin(-1) < SMALLEST)
    view, cell, row = stays.nonzero(as_tuple=True)
    picture = layout.picture[view, cell]
    opened = store.open[layout.picture].any(-1).nonzero(as_tuple=True)
    return Targets(
        view,
        cut[view, cell, row],
        store.classes[picture, row],
        ignore[view, cell, row],
        store.sure[picture, row],
        opened[0],
        window[:, :, 0][opened],
        store.open[layout.picture[opened]],
    )


def _recolour(images: Tensor, settings: ViewSettings, generator: Generator) -> Tensor:
    """Change hue, saturation, brightness and contrast of each view; make some grey, blurred, coarse or noisy."""
    batch, device = len(images), images.device
    turn, colour, bright, contrast, grey = torch.rand(5, batch, device=device, generator=generator).unbind(0)
    angle, colour, bright = (turn - 0.5) * 0.25, 0.5 + colour, 0.6 + 0.8 * bright
    colour = torch.where(grey < 0.05, 0.0, colour)
    contrast = 0.8 + 0.4 * contrast
    one, third = torch.eye(3, device=device), torch.full((3, 3), 1 / 3, device=device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    luma = torch.tensor([0.299, 0.587, 0.114], device=device).expand(3, 3)
    saturate = colour[:, None, None] * one + (1 - colour[:, None, None]) * luma
    matrix = (bright * contrast)[:, None, None] * saturate @ (cos * one + (1 - cos) * third + sin * cross)
    matrix = matrix.to(images.dtype)[..., None, None]  # (B, 3, 3, 1, 1)
    offset = (GREY * (1 - contrast)).to(images.dtype)[:, None, None]
    red, green, blue = images.unbind(1)  # a product with 3 x 3 matrices is slow on tensor cores
    mixed = [matrix[:, c, 0] * red + matrix[:, c, 1] * green + matrix[:, c, 2] * blue + offset for c in range(3)]
    images = torch.stack(mixed, dim=-1).clamp(0, 255).permute(0, 3, 1, 2)
    return _spoil(images, int(batch * settings.spoilt), generator)


def _spoil(images: Tensor, count: int, generator: Generator) -> Tensor:
    """Blur the first `count` views, make the next coarse and the next noisy. The order of views is random anyway."""
    if not count:
        return images
    blurred, coarse, noisy = (images[i * count : (i + 1) * count] for i in range(3))
    kernel = torch.tensor([1.0, 2, 1], dtype=images.dtype, device=images.device) / 4
    kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    size = images.shape[-1]
    noise = torch.randn(noisy.shape, device=images.device, generator=generator, dtype=images.dtype)
    changed = [
        F.conv2d(blurred, kernel, padding=1, groups=3),
        F.interpolate(F.avg_pool2d(coarse, 2), size=(size, size), mode="bilinear"),
        (noisy + 8 * noise).clamp(0, 255),
        images[3 * count :],
    ]
    return torch.cat(changed).contiguous(memory_format=torch.channels_last)
