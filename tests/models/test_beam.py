"""Beam search against a slow loop over lists."""

import pytest
import torch

from watchline.models.beam import beam_search
from watchline.models.captioners import SYSTEMS

WORDS = ("<end>", *(f"w{i}" for i in range(9)))
STEPS = 6


@pytest.fixture(params=SYSTEMS)
def model(request):
    torch.manual_seed(0)
    model = SYSTEMS[request.param](WORDS, embedding=8, hidden=12, dropout=0.0).eval()
    model.backbone = torch.nn.Identity()
    with torch.no_grad():
        model.embed.weight.mul_(40)  # so that some words are much more likely than others
        model.bias[0] = 1.5  # and some captions end early
    return model.double()


@torch.no_grad()
def slowly(model, maps, width):
    """Each caption is a dictionary, and is continued by every word."""
    seen = model.see(maps)
    beams = [{"words": [], "score": 0.0, "state": model.begin(seen), "looked": []}]
    for _ in range(STEPS):
        longer = []
        for beam in beams:
            if beam["words"] and beam["words"][-1] == 0:
                longer.append(beam | {"words": [*beam["words"], 0]})
                continue
            last = torch.tensor([beam["words"][-1] if beam["words"] else model.start])
            step = model.advance(model.embed(last), beam["state"], seen)
            chances = model.logits(step.vector).log_softmax(1)[0].tolist()
            longer += [
                {
                    "words": [*beam["words"], word],
                    "score": beam["score"] + chance,
                    "state": step.state,
                    "looked": [*beam["looked"], step.looked],
                }
                for word, chance in enumerate(chances)
            ]
        beams = sorted(longer, key=lambda beam: -beam["score"])[:width]
    return beams


@pytest.mark.parametrize("width", [1, 2, 3])
def test_it_is_what_the_slow_loop_finds(model, width):
    torch.manual_seed(1)
    maps = torch.randn(4, 320, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        words, scores, looked = beam_search(model, maps, width, STEPS)
    assert words.shape == (4, width, STEPS)
    assert words.dtype == torch.int32
    for photo in range(4):
        expected = slowly(model, maps[photo : photo + 1], width)
        assert words[photo].tolist() == [beam["words"] for beam in expected]
        assert scores[photo].tolist() == pytest.approx([beam["score"] for beam in expected])
        if looked is not None:
            theirs = torch.cat(expected[0]["looked"])
            torch.testing.assert_close(looked[photo, : len(theirs)], theirs)
            torch.testing.assert_close(looked.sum(2), torch.ones(4, STEPS, dtype=torch.float64))


def test_a_beam_of_one_is_greedy(model):
    maps = torch.randn(3, 320, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        words, _, _ = beam_search(model, maps, 1, STEPS)
        seen = model.see(maps)
        state, now = model.begin(seen), torch.full((3,), model.start)
        ended = torch.zeros(3, dtype=torch.bool)
        for t in range(STEPS):
            step = model.advance(model.embed(now), state, seen)
            now = torch.where(ended, 0, model.logits(step.vector).argmax(1))
            ended |= now == 0
            state = step.state
            assert words[:, 0, t].tolist() == now.tolist()


def test_a_wider_beam_is_never_less_likely_on_these(model):
    """A wider beam may lose the best caption on its way, in theory; the widest of all cannot."""
    maps = torch.randn(8, 320, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        best = [beam_search(model, maps, width, 3)[1][:, 0] for width in (1, 3, 10)]
        everything = beam_search(model, maps, 10, 2)[1][:, 0]
        pairs = beam_search(model, maps, 3, 2)[1][:, 0]
    assert (best[2] >= best[0] - 1e-9).all()
    assert (everything >= pairs - 1e-9).all()


def test_captions_are_in_the_order_of_their_scores_or_of_their_scores_by_length(model):
    maps = torch.randn(5, 320, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        plain, scores, _ = beam_search(model, maps, 3, STEPS)
        ordered, same, _ = beam_search(model, maps, 3, STEPS, power=1.0)
    assert (scores.diff(dim=1) <= 0).all()
    each = same / ((ordered > 0).sum(2) + 1)
    assert (each.diff(dim=1) <= 1e-12).all()
    assert [sorted(rows) for rows in plain.tolist()] == [sorted(rows) for rows in ordered.tolist()]


def test_the_scores_are_those_of_the_words(model):
    """The sum of the log-probabilities of a caption's words and its end, by teacher forcing."""
    from watchline.train.captions_loss import batch_of

    maps = torch.randn(1, 320, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        words, scores, _ = beam_search(model, maps, 3, 20)
        for row, score in zip(words[0].tolist(), scores[0].tolist(), strict=True):
            batch, _ = batch_of([(0, [word for word in row if word])], model)
            chances = model.teach(maps, batch.inputs, batch.lengths, batch.photos)[0].log_softmax(1)
            if 0 in row:
                assert chances.gather(1, batch.targets[:, None]).sum().item() == pytest.approx(score)
