"""The loop that two-stage detectors share: a run that goes on does so where its weights are."""

import json
from dataclasses import asdict, dataclass

import pytest
import torch
from torch import nn

from watchline.train import two_stage
from watchline.train.averaged import blend


@dataclass(frozen=True)
class Recipe:
    steps: int = 2
    clip: float = 1.0
    average: float = 0.9
    save_every: int = 1
    seed: int = 0


def ready(device):
    """A network with a counter, as batch statistics have one, and its optimizer."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter:UserWarning")
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_run_that_goes_on_averages_on_the_device_of_its_weights(device, tmp_path):
    model, optimizer = ready("cpu")
    steps = two_stage.run(
        model,
        optimizer,
        tmp_path,
        Recipe(),
        {},
        lambda step: torch.full((4, 2), float(step)),
        lambda batch: {"loss": model(batch).sum()},
        lambda step: 1.0,
    )
    assert [figures["step"] for figures in steps] == [1, 2]
    model, optimizer = ready(device)
    about = {"recipe": json.dumps(asdict(Recipe()))}
    step, average = two_stage._resume(tmp_path / two_stage.CHECKPOINT, about, model, optimizer)
    assert step == 2
    assert {name: value.device for name, value in average.items()} == {
        name: value.device for name, value in model.state_dict().items()
    }
    blend(average, model.state_dict(), 0.5)  # which no two devices can
