"""Questions about photos, with attention and without: as good captioners are tested."""

import math

import pytest
import torch
from torch.nn import functional as F

from watchline.models.vqa import END, SYSTEMS, VQA, Blind

WORDS = ("?", *(f"w{i}" for i in range(30)))
ANSWERS = tuple(f"a{i}" for i in range(12))
QUESTIONS = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 0, 0]])
PHOTOS = torch.tensor([0, 1, 1])
EACH = pytest.mark.parametrize("name", SYSTEMS)


def small(name, answers=ANSWERS, seed=0):
    """A network without a backbone, as what is tested begins with its maps."""
    torch.manual_seed(seed)
    sizes = {"places": 16, "attention": 12} if name == "vqa" else {}
    model = SYSTEMS[name](WORDS, answers, embedding=16, hidden=24, dropout=0.0, **sizes)
    if isinstance(model, VQA):
        model.backbone = torch.nn.Identity()
    return model


def maps(count=2, seed=1, dtype=torch.float32):
    return torch.randn(count, 320, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slowly(model, photo, question):
    """The paper's equations for one question, number by number where it looks. Args: photo (320, R, R)."""
    places = [photo[:, y, x] for y in range(photo.shape[1]) for x in range(photo.shape[2])]
    seen = [(model.head.weight[:, :, 0, 0] @ place + model.head.bias).clamp(0, 6) for place in places]
    c = [torch.relu(model.places.weight @ s + model.places.bias) for s in seen]
    h = cell = torch.zeros(model.lstm.hidden)
    inputs = [model.photo.weight @ (sum(seen) / len(seen)) + model.photo.bias]
    for word in question:
        inputs.append(model.embed.weight[word])
        if word == END:
            break
    looks = []
    for v in inputs:
        e = []
        for place in c:
            hidden = torch.tanh(model.query.weight @ h + model.key.weight @ place + model.key.bias)
            e.append(float(model.energy.weight[0] @ hidden + model.energy.bias[0]))
        a = [math.exp(x) / sum(map(math.exp, e)) for x in e]
        looks.append(a)
        r = sum(share * place for share, place in zip(a, c, strict=True))
        x = torch.cat([v, r])
        i, f, g, o = (model.lstm.x.weight @ x + model.lstm.x.bias + model.lstm.h.weight @ h).chunk(4)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(cell)
    return model.answer.weight @ h + model.answer.bias, looks[1:]


@torch.no_grad()
def test_the_network_is_that_of_the_equations():
    model, photos = small("vqa").eval(), maps()
    logits, looked = model(photos, QUESTIONS, PHOTOS)
    for n, question in enumerate(QUESTIONS.tolist()):
        expected, looks = slowly(model, photos[PHOTOS[n]], question)
        assert torch.allclose(logits[n], expected, atol=1e-5)
        assert torch.allclose(looked[n, : len(looks)], torch.tensor(looks), atol=1e-5)
        assert (looked[n, len(looks) :] == 0).all()


@EACH
def test_what_is_after_the_end_changes_nothing(name):
    model = small(name).eval()
    changed = torch.tensor([[1, 2, 3, 0, 9, 9], [4, 0, 7, 0, 9, 9], [5, 6, 0, 3, 3, 3]])
    ours, theirs = model(maps(), QUESTIONS, PHOTOS), model(maps(), changed, PHOTOS)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1][:, :4])
    theirs[0].sum().backward()
    assert (model.embed.weight.grad[[7, 9]] == 0).all()
    assert (model.embed.weight.grad[[1, 4, 6]] != 0).any(1).all()


@EACH
def test_the_first_loss_is_that_of_knowing_nothing(name):
    answers = tuple(f"a{i}" for i in range(300))
    logits, _ = small(name, answers)(maps(), QUESTIONS, PHOTOS)
    assert F.cross_entropy(logits, torch.tensor([0, 1, 2])).item() == pytest.approx(math.log(300), rel=0.03)


@EACH
def test_the_gradient_is_right(name):
    model = small(name).double()
    photos = maps(dtype=torch.float64)
    parameters = [p for _, p in model.named_parameters()]

    def loss():
        logits, _ = model(photos, QUESTIONS, PHOTOS)
        return F.cross_entropy(logits, torch.tensor([0, 1, 2]))

    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        where = gradient.abs().argmax()
        flat, step = parameter.data.view(-1), 1e-5
        flat[where] += step
        above = loss().item()
        flat[where] -= 2 * step
        numeric = (above - loss().item()) / (2 * step)
        flat[where] += step
        assert numeric == pytest.approx(gradient.flatten()[where].item(), rel=1e-3, abs=1e-9)


def test_it_learns_ten_pictures_by_heart():
    """Ten photos with another answer each to the same question: only the photo tells."""
    model = small("vqa")
    photos, question = maps(10), torch.tensor([[1, 2, 0]]).repeat(10, 1)
    answers = torch.arange(10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        loss = F.cross_entropy(model(photos, question)[0], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model(photos, question)[0].argmax(1).tolist() == list(range(10))


def test_the_blind_one_learns_questions_but_no_photos():
    model = small("blind")
    questions, answers = torch.tensor([[1, 0], [2, 0], [2, 0]]), torch.tensor([0, 1, 2])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        loss = F.cross_entropy(model(maps(3), questions)[0], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(2 / 3 * math.log(2), abs=0.01)  # of two photos, it can only guess
    assert torch.equal(model(maps(3), questions)[0], model(maps(3, seed=2), questions)[0])


@EACH
def test_a_checkpoint_says_what_it_is_of(name):
    model = SYSTEMS[name](("?", "a", "café"), ("yes", "no"), embedding=16, hidden=24)
    state = model.state_dict()
    again = SYSTEMS[name].of(state)
    assert (again.words, again.answers) == (("?", "a", "café"), ("yes", "no"))
    assert not again.training
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in state.items())


def test_the_blind_ones_weights_are_not_the_others():
    with pytest.raises(KeyError):
        VQA.of(Blind(WORDS, ANSWERS).state_dict())
