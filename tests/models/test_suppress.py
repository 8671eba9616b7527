import io

import onnxruntime
import pytest
import reference
import torch
from torch import nn

from watchline.models.suppress import BLOCK, suppress


def scattered(count: int, seed: int, side: float = 300.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * side
    return torch.cat([corner, corner + 20 + torch.rand(count, 2, generator=generator) * 60], dim=-1)


def chain(count: int, step: float = 3.0) -> torch.Tensor:
    """Boxes of 10 x 10 in a row, IoU 0.54 with the next and 0.25 with the one after: every other one stays.

    Each can be settled only after the one before it, and so the last only after all others.
    """
    x = torch.arange(count) * step
    return torch.stack([x, torch.zeros_like(x), x + 10, torch.full_like(x, 10)], dim=-1)


def greedy(boxes: torch.Tensor, threshold: float, groups: torch.Tensor | None = None) -> list[int]:
    scores = [-float(i) for i in range(len(boxes))]
    classes = [0] * len(boxes) if groups is None else groups.tolist()
    return reference.nms(boxes.tolist(), scores, classes, threshold)


def kept(boxes: torch.Tensor, threshold: float, groups: torch.Tensor | None = None) -> list[int]:
    keep = suppress(boxes[None], threshold, None if groups is None else groups[None])
    assert keep.shape == (1, len(boxes))
    assert keep.dtype == torch.bool
    return keep[0].nonzero()[:, 0].tolist()


CROWD = scattered(3 * BLOCK + 7, 0)
CASES = {
    "scattered": scattered(200, 1),
    "crowded": scattered(400, 2, side=60),
    "longer than a block": CROWD,
    "a whole number of blocks": scattered(2 * BLOCK, 3),
    "a chain through all blocks": chain(3 * BLOCK),
    "a chain with another interleaved": torch.stack([chain(150), chain(150) + 1000], dim=1).view(-1, 4),
    "a chain, shuffled": chain(300)[torch.randperm(300, generator=torch.Generator().manual_seed(4))],
    "all the same": chain(1).repeat(50, 1),
    "one": chain(1),
    "two that touch": torch.tensor([[0.0, 0, 10, 10], [10.0, 0, 20, 10]]),
    "none": torch.zeros(0, 4),
    "without area": torch.tensor([[5.0, 5, 5, 5], [5.0, 5, 5, 5], [0.0, 0, 10, 10]]),
}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("boxes", CASES.values(), ids=CASES)
def test_keeps_what_greedy_suppression_keeps(boxes, threshold):
    assert kept(boxes, threshold) == greedy(boxes, threshold)


def test_every_other_box_of_a_chain_stays():
    """The case that a fixed number of rounds over all boxes gets wrong as soon as the chain is longer."""
    assert kept(chain(3 * BLOCK), 0.5) == list(range(0, 3 * BLOCK, 2))


def test_groups_leave_one_another_alone():
    boxes, groups = scattered(300, 5, side=60), torch.arange(300) % 3
    assert kept(boxes, 0.5, groups) == greedy(boxes, 0.5, groups)
    assert len(kept(boxes, 0.5, groups)) > len(kept(boxes, 0.5))


def test_pictures_of_a_batch_leave_one_another_alone():
    both = torch.stack([scattered(200, 6), scattered(200, 7, side=60)])
    keep = suppress(both, 0.5)
    assert [row.nonzero()[:, 0].tolist() for row in keep] == [greedy(boxes, 0.5) for boxes in both]


class Suppress(nn.Module):
    def forward(self, boxes):
        return suppress(boxes, 0.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_exported_it_settles_chains_that_tracing_never_saw():
    count, buffer = 2 * BLOCK, io.BytesIO()
    torch.onnx.export(
        Suppress(),
        (torch.zeros(1, count, 4),),
        buffer,
        input_names=["boxes"],
        dynamic_axes={"boxes": {0: "batch"}},
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    boxes = torch.stack([chain(count), scattered(count, 8, side=60)])
    (keep,) = session.run(None, {"boxes": boxes.numpy()})
    assert [row.nonzero()[0].tolist() for row in keep] == [greedy(b, 0.5) for b in boxes]
