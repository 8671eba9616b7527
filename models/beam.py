"""Beam search: the K best captions so far are kept, word after word.

Greedy search takes the best word at each step, and cannot take it back. A beam of K captions can: each is continued by
its K best words, and the best K of the K * K captions go on. A caption that has ended goes on with its end, at no cost.

It is written in plain operations with fixed shapes, so that the loop can be unrolled into a graph.
"""

import torch
from torch import Tensor

from watchline.models.captioner import Captioner

BEAM, STEPS, POWER = 3, 20, 1.0
"""What is used and measured: captions that are kept, words at most, and the power of the length in their order."""

NEVER = -1e4  # log-probability of what cannot be; finite, so FP16 can hold it and nothing becomes NaN


def beam_search(
    model: Captioner, maps: Tensor, width: int, steps: int, power: float = 0.0
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The best captions of each photo.

    Args:
        model: a captioner.
        maps: (B, 320, R, R), the backbone's last.
        width: K, captions that are kept. 1: greedy search.
        steps: T, words of a caption at most; the end is not counted if it would be word T + 1.
        power: captions are ordered in the end by log-probability / length ** power. 0: by log-probability.

    Returns:
        words (B, K, T) int32, best first, 0 after the end; scores (B, K), log-probability of each; looked (B, T, Q) of
        the best, or None if the system does not look.
    """
    seen = model.see(maps)
    start = torch.full_like(seen[0].flatten(1)[:, 0], model.start, dtype=torch.int64)
    step = model.advance(model.embed(start), model.begin(seen), seen)
    scores, words = model.logits(step.vector).log_softmax(1).topk(width, 1)  # (B, K)
    state = tuple(_repeat(tensor, width) for tensor in step.state)  # (B * K, H)
    seen = tuple(_repeat(tensor, width) for tensor in seen)
    history = words[..., None]  # (B, K, t)
    looks = None if step.looked is None else step.looked[:, None, None].repeat(1, width, 1, 1)  # (B, K, t, Q)
    for _ in range(steps - 1):
        step = model.advance(model.embed(words.reshape(-1)), state, seen)
        more, next_words = model.logits(step.vector).log_softmax(1).topk(width, 1)
        more, next_words = more.reshape(-1, width, width), next_words.reshape(-1, width, width)
        more, next_words = _after_end(words == 0, more, next_words)
        scores, chosen = (scores[..., None] + more).flatten(1).topk(width, 1)  # (B, K) of K * K
        words = next_words.flatten(1).gather(1, chosen)
        parent = torch.div(chosen, width, rounding_mode="trunc")
        state = tuple(_of_parents(tensor, parent) for tensor in step.state)
        history = torch.cat([_pick(history, parent), words[..., None]], 2)
        if looks is not None and step.looked is not None:
            now = step.looked.reshape(-1, width, 1, int(step.looked.shape[-1]))
            looks = _pick(torch.cat([looks, now], 2), parent)
    if power:
        length = (history > 0).sum(2) + 1
        order = (scores / length.to(scores.dtype) ** power).topk(width, 1).indices
        scores, history = scores.gather(1, order), _pick(history, order)
        looks = None if looks is None else _pick(looks, order)
    return history.int(), scores, None if looks is None else looks[:, 0]


def _after_end(ended: Tensor, more: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """A caption that has ended (B, K) has one continuation, the end, which costs nothing."""
    only = torch.cat([torch.zeros_like(more[..., :1]), torch.full_like(more[..., 1:], NEVER)], 2)
    return torch.where(ended[..., None], only, more), torch.where(ended[..., None], 0, words)


# In the three below, sides are plain numbers: in a graph, only the batch is to be computed from shapes.


def _repeat(tensor: Tensor, width: int) -> Tensor:
    """(B, ...) -> (B * K, ...), each row K times."""
    sides = [int(side) for side in tensor.shape[1:]]
    return tensor[:, None].expand(-1, width, *sides).reshape(-1, *sides)


def _of_parents(tensor: Tensor, parent: Tensor) -> Tensor:
    """(B * K, H), the rows of the parents (B, K)."""
    side = int(tensor.shape[1])
    return _pick(tensor.reshape(-1, int(parent.shape[1]), side), parent).reshape(-1, side)


def _pick(tensor: Tensor, chosen: Tensor) -> Tensor:
    """(B, K, ...) -> (B, K, ...), the rows that `chosen` (B, K) names."""
    sides = [int(side) for side in tensor.shape[2:]]
    index = chosen.reshape(-1, int(chosen.shape[1]), *(1 for _ in sides))
    return tensor.gather(1, index.expand(-1, -1, *sides))
