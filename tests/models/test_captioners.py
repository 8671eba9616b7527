"""The three systems, as good captioners are tested."""

import math

import pytest
import torch
from torch.nn import functional as F

from watchline.models.beam import beam_search
from watchline.models.captioner import HEAD, load_head
from watchline.models.captioners import SYSTEMS, system_of
from watchline.train.captions_loss import UNKNOWN, batch_of, likelihood

WORDS = ("<end>", *(f"w{i}" for i in range(30)))
CAPTIONS = [(0, [1, 2, 3]), (0, [4]), (1, [5, 6, 7, 8, 9]), (1, [])]
EACH = pytest.mark.parametrize("name", SYSTEMS)


def small(name, seed=0, words=WORDS):
    torch.manual_seed(seed)
    model = SYSTEMS[name](words, embedding=24, hidden=24, dropout=0.0)
    model.backbone = torch.nn.Identity()  # what is tested begins with its maps
    return model


@EACH
def test_the_first_loss_is_that_of_knowing_nothing(name):
    words = ("<end>", *(f"w{i}" for i in range(500)))
    model = small(name, words=words)
    losses = likelihood(model, torch.randn(2, 320, 2, 2), batch_of(CAPTIONS, model)[0], 0.0, 0.0)
    assert losses["entropy"].item() == pytest.approx(math.log(len(words)), rel=0.02)


@EACH
def test_the_gradient_is_right(name):
    model = small(name).double()
    batch, _ = batch_of(CAPTIONS, model)
    maps = torch.randn(2, 320, 2, 2, dtype=torch.float64)
    parameters = [p for n, p in model.named_parameters() if n in ("bias", "embed.weight") or n.endswith("h.weight")]

    def loss():
        return torch.stack(list(likelihood(model, maps, batch, 0.1, 1.0).values())).sum()

    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        where = gradient.abs().argmax()
        flat, step = parameter.data.view(-1), 1e-5
        flat[where] += step
        above = loss().item()
        flat[where] -= 2 * step
        numeric = (above - loss().item()) / (2 * step)
        flat[where] += step
        assert numeric == pytest.approx(gradient.flatten()[where].item(), rel=1e-4)


@EACH
def test_padding_and_unknown_words_have_no_gradient(name):
    model = small(name)
    batch, _ = batch_of([(0, [1, 2, model.rare, 3]), (1, [4])], model)
    maps = torch.randn(2, 320, 2, 2)
    logits, _ = model.teach(maps, batch.inputs, batch.lengths, batch.photos)
    assert len(logits) == len(batch.targets) == 5 + 2
    assert (batch.targets == UNKNOWN).sum() == 1
    logits.retain_grad()
    F.cross_entropy(logits, batch.targets, ignore_index=UNKNOWN).backward()
    assert (logits.grad[batch.targets == UNKNOWN] == 0).all()
    assert (model.embed.weight.grad[model.rare] != 0).any()  # as an input it counts
    changed = batch.inputs.clone()
    changed[1, 2:] = 9  # what is after the end of the shorter caption
    assert torch.equal(model.teach(maps, changed, batch.lengths, batch.photos)[0], logits)


@EACH
def test_it_learns_ten_pictures_by_heart(name):
    model = small(name).eval()  # without dropout
    torch.manual_seed(1)
    maps = 3 * torch.randn(10, 320, 2, 2)
    captions = [(i, torch.randint(1, len(WORDS), (2 + i % 4,)).tolist()) for i in range(10)]
    batch, _ = batch_of(captions, model)
    model.head.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.004)
    for _ in range(400):
        loss = likelihood(model, maps, batch, 0.0, 0.0)["entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    assert loss.item() < 0.1
    with torch.no_grad():
        words, scores, _ = beam_search(model, maps, 3, 8)
    assert [[n for n in row if n] for row in words[:, 0].tolist()] == [caption for _, caption in captions]
    assert (scores[:, 0].exp() > 0.5).all()


@EACH
def test_a_checkpoint_tells_what_it_is_of(name):
    model = SYSTEMS[name](("<end>", "a", "café"), embedding=16, hidden=24)
    state = model.state_dict()
    assert system_of(state) is SYSTEMS[name]
    again = SYSTEMS[name].of(state)
    assert again.vocabulary == ("<end>", "a", "café")
    assert not again.training
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in state.items())
    assert system_of({"embed.weight": torch.zeros(1)}) is None


def test_places_are_looked_at_and_the_weights_of_a_step_sum_to_one():
    model = small("show-attend-tell")
    batch, _ = batch_of(CAPTIONS, model)
    _, looks = model.teach(torch.randn(2, 320, 2, 3), batch.inputs, batch.lengths, batch.photos)
    assert [look.shape for look in looks] == [(4, 6), (3, 6), (2, 6), (2, 6), (1, 6), (1, 6)]
    assert all(torch.allclose(look.sum(1), torch.ones(len(look))) for look in looks)


def test_attention_follows_a_feature_to_its_place():
    """With a key that reads one feature, the place that has it is looked at."""
    model = small("show-attend-tell")
    with torch.no_grad():
        for parameter in (model.head, model.places, model.key, model.query, model.energy):
            parameter.weight.zero_()
        model.head.bias.zero_()
        model.head.weight[7, 5] = 1
        model.places.weight[2, 7] = 1
        model.places.bias.zero_()
        model.key.weight[:, 2] = 1
        model.key.bias.zero_()
        model.energy.weight.fill_(1)
    maps = torch.zeros(1, 320, 2, 2)
    maps[0, 5, 1, 0] = 3
    assert HEAD == model.head.out_channels
    _, alpha = model.eval().look(torch.zeros(1, 24), model.see(maps))
    assert alpha.argmax() == 2  # row 1, column 0
    assert alpha.max() > 0.99


def test_imagenet_s_last_convolution_is_the_head():
    model = small("show-and-tell")
    norm = torch.nn.BatchNorm2d(HEAD, eps=1e-3).eval()
    conv = torch.nn.Conv2d(320, HEAD, 1, bias=False)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2)
    state = {f"_bn1.{key}": value for key, value in norm.state_dict().items()}
    load_head(model.head, {**state, "_conv_head.weight": conv.weight})
    x = torch.randn(1, 320, 2, 2)
    torch.testing.assert_close(model.features(x), F.relu6(norm(conv(x))), atol=1e-4, rtol=1e-4)
