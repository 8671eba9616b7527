import pytest
import torch

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0
from watchline.models.errors import CheckpointError


def test_three_maps_of_strides_8_16_and_32():
    maps = EfficientNetLite0().eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(CHANNELS, (8, 16, 32), strict=True)
    ]


def test_imagenet_weights_fill_the_whole_network():
    model, fresh = EfficientNetLite0.pretrained(), EfficientNetLite0()
    for (name, a), b in zip(model.state_dict().items(), fresh.state_dict().values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            assert not torch.equal(a, b), name


def test_another_checkpoint_is_named_as_such(tmp_path):
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not EfficientNet-Lite0"):
        EfficientNetLite0.pretrained(tmp_path / "other.pth")
