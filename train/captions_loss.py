"""What captions are trained on: batches of captions sorted by length, and the three losses."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from watchline.models.captioner import Captioner, counts_of
from watchline.ops.caption_scores import Cider

LONGEST = 24  # words of a caption; the few that are longer are cut
SAMPLED = 20  # words of a caption that is drawn, at most
UNKNOWN = -100  # target where the right word is not in the vocabulary: it has no loss


class Batch(NamedTuple):
    """Captions, the longest first.

    Attributes:
        inputs: (N, T) int64, each from START on; what is after its end is never read.
        lengths: of each, the number of inputs: its words and START.
        photos: (N,) int64, the photo's number in the batch.
        targets: (sum of lengths,) int64, the next words: those of the first step, then of the second, and so on.
        rows: (sum of lengths,) int64, the caption that each target is of.
    """

    inputs: Tensor
    lengths: list[int]
    photos: Tensor
    targets: Tensor
    rows: Tensor


def batch_of(
    captions: Sequence[tuple[int, Sequence[int]]], model: Captioner, longest: int = LONGEST
) -> tuple[Batch, list[int]]:
    """A batch, and where in `captions` each of its rows was. The end of one that is cut is UNKNOWN.

    Args:
        longest: words from which a caption has no end, or is cut.
        captions: the photo's number in the batch and the words' numbers of each; `model.rare` for unknown words.
        model: whose START and vocabulary it is.
    """
    order = sorted(range(len(captions)), key=lambda i: -len(captions[i][1]))
    cut = [list(captions[i][1])[:longest] for i in order]
    lengths = [len(words) + 1 for words in cut]
    inputs = torch.zeros(len(cut), lengths[0], dtype=torch.int64)
    ends = torch.zeros(len(cut), lengths[0], dtype=torch.int64)
    for i, words in enumerate(cut):
        inputs[i, 0] = model.start
        inputs[i, 1 : lengths[i]] = ends[i, : len(words)] = torch.tensor(words, dtype=torch.int64)
        if len(words) == longest:
            ends[i, lengths[i] - 1] = UNKNOWN
    ends[ends >= model.words] = UNKNOWN
    counts = counts_of(lengths)
    targets = torch.cat([ends[:count, t] for t, count in enumerate(counts)])
    rows = torch.cat([torch.arange(count) for count in counts])
    photos = torch.tensor([captions[i][0] for i in order])
    return Batch(inputs, lengths, photos, targets, rows), order


def likelihood(model: Captioner, maps: Tensor, batch: Batch, smoothing: float, spread: float) -> dict[str, Tensor]:
    """Maximum likelihood: the cross-entropy of each word, and the penalty for places that were never looked at.

    Args:
        maps: (P, 320, R, R).
        smoothing: share of the probability that is spread over all words (Szegedy et al., 2016).
        spread: weight of the penalty.
    """
    logits, looks = model.teach(maps, batch.inputs, batch.lengths, batch.photos)
    entropy = F.cross_entropy(logits, batch.targets, ignore_index=UNKNOWN, label_smoothing=smoothing)
    if not looks:
        return {"entropy": entropy}
    return {"entropy": entropy, "spread": spread * doubly_stochastic(looks)}


def doubly_stochastic(looks: Sequence[Tensor]) -> Tensor:
    """Over all words of a caption, every place should be looked at alike (Xu et al., 2015, equation 14).

    Args:
        looks: of each step, (captions that are not over, places), each row with a sum of 1.

    Returns:
        the mean of (1 - sum over the steps)^2.
    """
    total = looks[0]
    for look in looks[1:]:
        total = torch.cat([total[: len(look)] + look, total[len(look) :]])
    return ((1 - total) ** 2).mean()


def reward_loss(model: Captioner, maps: Tensor, cider: Cider, photos: Sequence[int], samples: int) -> dict[str, Tensor]:
    """Self-critical training: captions that are better than the others of their photo become more likely.

    The expected CIDEr is what counts, and has no gradient. REINFORCE estimates it from captions that the model draws
    (Rennie et al., 2017); a caption is compared with the others of its photo (Luo, 2020). The end counts as a word:
    else captions would lose theirs.

    Args:
        maps: (P, 320, R, R).
        cider: of the photos for training; its words are numbers.
        photos: the numbers of the P photos there.
        samples: captions that are drawn of each photo.
    """
    drawn = sample(model, maps, samples)
    rewards = torch.tensor([cider.score(photos[photo], ended(words)) for photo, words in drawn]).reshape(-1, samples)
    better = (rewards - rewards.mean(1, keepdim=True)) * samples / (samples - 1)  # than the mean of the others
    batch, order = batch_of(drawn, model, SAMPLED)
    logits, _ = model.teach(maps, batch.inputs, batch.lengths, batch.photos)
    said = batch.targets != UNKNOWN
    chances = logits.log_softmax(1)[said].gather(1, batch.targets[said][:, None])[:, 0]
    worth = better.flatten()[torch.tensor(order)][batch.rows[said]]
    return {"reward": -(chances * worth).mean(), "cider": rewards.mean()}


def ended(words: Sequence[int]) -> list[int]:
    """The words and their end, which one that was drawn to the longest length does not have."""
    return [*words, *([0] if len(words) < SAMPLED else [])]


@torch.no_grad()
def sample(model: Captioner, maps: Tensor, samples: int) -> list[tuple[int, list[int]]]:
    """Captions that the model draws, word by word: the photo's number and the words' numbers.

    Args:
        maps: (P, 320, R, R).
        samples: captions of each photo; they are together in the list.
    """
    photos = torch.arange(len(maps)).repeat_interleave(samples)
    seen = tuple(tensor[photos] for tensor in model.see(maps))
    state = model.begin(seen)
    words = torch.full((len(photos),), model.start)
    alive = torch.arange(len(photos))
    drawn: list[list[int]] = [[] for _ in photos]
    for _ in range(SAMPLED):
        step = model.advance(model.embed(words), state, seen)
        words = torch.multinomial(model.logits(step.vector).softmax(1), 1)[:, 0]
        on = words > 0
        alive, words = alive[on], words[on]
        for row, word in zip(alive.tolist(), words.tolist(), strict=True):
            drawn[row].append(word)
        if not len(alive):
            break
        state, seen = tuple(tensor[on] for tensor in step.state), tuple(tensor[on] for tensor in seen)
    return list(zip(photos.tolist(), drawn, strict=True))
