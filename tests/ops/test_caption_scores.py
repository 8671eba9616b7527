"""BLEU and CIDEr by hand, and as pycocoevalcap computes them."""

import numpy as np
import pytest

from watchline.ops.caption_scores import Cider, bleu, rouge_l

WORDS = "a the dog cat man runs sits on in grass water red ball".split()


def made_up(seed: int, photos: int) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Captions and five references each, of random words."""
    rng = np.random.default_rng(seed)
    draw = lambda: [WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(3, 12))]  # noqa: E731
    references = [[draw() for _ in range(5)] for _ in range(photos)]
    captions = [written[0][:-1] if i % 2 else draw() for i, written in enumerate(references)]
    return captions, references


def test_bleu_by_hand():
    # the paper's example: "the" is in a reference twice at most
    one, *_ = bleu(["the the the the the the the".split()], [["the cat is on the mat".split()]])
    assert one == pytest.approx(2 / 7)
    assert bleu(["a dog runs on grass".split()], [["a dog runs on grass".split()]]) == pytest.approx((1, 1, 1, 1))
    short, *_ = bleu(["a dog".split()], [["a dog runs on".split()]])
    assert short == pytest.approx(np.exp(1 - 4 / 2))  # the penalty for what is short


def test_all_are_as_pycocoevalcap_computes_them():
    coco_bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
    coco_cider = pytest.importorskip("pycocoevalcap.cider.cider")
    coco_rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    captions, references = made_up(0, 40)
    theirs = {i: [" ".join(words) for words in written] for i, written in enumerate(references)}
    ours = {i: [" ".join(words)] for i, words in enumerate(captions)}
    assert bleu(captions, references) == pytest.approx(coco_bleu.Bleu(4).compute_score(theirs, ours, verbose=0)[0])
    assert Cider(references).mean(captions) == pytest.approx(coco_cider.Cider().compute_score(theirs, ours)[0])
    assert rouge_l(captions, references) == pytest.approx(coco_rouge.Rouge().compute_score(theirs, ours)[0])


def test_bleu_is_sacrebleu_s():
    sacrebleu = pytest.importorskip("sacrebleu")
    captions, references = made_up(1, 30)
    per_number = [[" ".join(written[i]) for written in references] for i in range(5)]
    metric = sacrebleu.metrics.BLEU(tokenize="none", smooth_method="none")
    theirs = metric.corpus_score([" ".join(words) for words in captions], per_number)
    assert 100 * bleu(captions, references)[3] == pytest.approx(theirs.score)


def test_an_empty_caption_has_no_score():
    assert bleu([[]], [["a dog".split()]])[3] < 1e-6
    assert Cider([["a dog".split()], ["a cat".split()]]).score(0, []) == 0
    assert rouge_l([[]], [["a dog".split()]]) == 0
