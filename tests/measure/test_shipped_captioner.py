"""The shipped captioner on photos that it was not trained on."""

import pytest

from watchline.engines import zoo
from watchline.measure.captions import captions
from watchline.pipeline.stages.captioner import Captioner


@pytest.mark.shared
def test_it_is_as_good_as_its_card_says_on_a_tenth(shared):
    measured = captions(Captioner(model=zoo.CAPTIONER), shared / "flickr8k", every=10)
    assert measured.bleu[0] > 0.58
    assert measured.bleu[3] > 0.15
    assert len(set(measured.texts.values())) > 40
