"""BLEU, CIDEr and ROUGE-L: how near captions are to what people wrote of the same photos.

They are computed as `pycocoevalcap` does, whose figures papers state. Captions are lists of words (`ops/words.py`).
"""

import math
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str] | Sequence[int]
Gram = tuple[str | int, ...]
ORDERS = 4  # n-grams of 1 to 4 words
_SIGMA = 6.0  # words: how fast CIDEr falls with a difference in length


def grams(words: Words) -> Counter[Gram]:
    """How often each n-gram of 1 to 4 words is in the caption."""
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of a set of captions, 0 to 1 (Papineni et al., 2002).

    The geometric mean of the precisions of n-grams, over the whole set: an n-gram counts as often as it is in the
    reference that has it most. Captions that are shorter in all than the references of nearest length are penalised.

    Args:
        captions: N captions.
        references: of each, what people wrote.
    """
    found, made = [0] * ORDERS, [0] * ORDERS
    length = wanted = 0
    for words, written in zip(captions, references, strict=True):
        length += len(words)
        wanted += min((abs(len(r) - len(words)), len(r)) for r in written)[1]
        most: Counter[Gram] = Counter()
        for reference in written:
            most |= grams(reference)
        for gram, count in grams(words).items():
            made[len(gram) - 1] += count
            found[len(gram) - 1] += min(count, most[gram])
    brevity = 1.0 if length >= wanted else math.exp(1 - wanted / max(length, 1e-9))
    logs, figures = 0.0, []
    for n in range(ORDERS):
        logs += math.log(max(found[n], 1e-15) / max(made[n], 1e-9))
        figures.append(brevity * math.exp(logs / (n + 1)))
    return figures[0], figures[1], figures[2], figures[3]


class Cider:
    """CIDEr-D against the references of a set of photos (Vedantam et al., 2015); about 0 to 10, often near 0.5.

    The mean cosine between vectors of n-grams, each weighted by how rare it is in what people wrote (tf-idf).
    An n-gram counts at most as often as in the reference, and a Gaussian penalises another length.

    Args:
        references: of each photo, what people wrote of it.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        seen: Counter[Gram] = Counter()
        counted = [[grams(words) for words in written] for written in references]
        for written in counted:
            seen.update(set().union(*written))
        self._rarity = {gram: math.log(len(references)) - math.log(count) for gram, count in seen.items()}
        self._unseen = math.log(len(references))
        self._vectors = [
            [(*self._vector(count), len(words)) for count, words in zip(counts, written, strict=True)]
            for counts, written in zip(counted, references, strict=True)
        ]

    def _vector(self, counts: Counter[Gram]) -> tuple[dict[Gram, float], list[float]]:
        """The weights of the n-grams, and the vectors' lengths for n = 1 to 4."""
        vector = {gram: count * self._rarity.get(gram, self._unseen) for gram, count in counts.items()}
        squares = [0.0] * ORDERS
        for gram, weight in vector.items():
            squares[len(gram) - 1] += weight * weight
        return vector, [math.sqrt(square) for square in squares]

    def score(self, photo: int, words: Words) -> float:
        """The figure of one caption of the photo of this number."""
        vector, norms = self._vector(grams(words))
        total = 0.0
        for theirs, their_norms, length in self._vectors[photo]:
            products = [0.0] * ORDERS
            for gram, weight in vector.items():
                if (other := theirs.get(gram)) is not None:
                    products[len(gram) - 1] += min(weight, other) * other
            cosines = (p / (a * b) for p, a, b in zip(products, norms, their_norms, strict=True) if a and b)
            total += sum(cosines) * math.exp(-((len(words) - length) ** 2) / (2 * _SIGMA**2))
        return 10 * total / (ORDERS * len(self._vectors[photo]))

    def mean(self, captions: Sequence[Words]) -> float:
        """The figure of a set: one caption for each photo, in their order."""
        return sum(self.score(i, words) for i, words in enumerate(captions)) / len(captions)


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """ROUGE-L: the F-measure of the longest common subsequences (Lin, 2004), 0 to 1, the mean of the captions.

    As in `pycocoevalcap`, recall counts 1.44 times as much as precision, and each is that of the best reference.
    """
    total = 0.0
    for words, written in zip(captions, references, strict=True):
        common = [_common(words, reference) for reference in written]
        recall = max(c / len(r) for c, r in zip(common, written, strict=True))
        precision = max(common) / max(len(words), 1)
        if recall and precision:
            total += (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    return total / len(captions)


def _common(a: Words, b: Words) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if word == other else max(before[j + 1], row[j]))
    return row[-1]
