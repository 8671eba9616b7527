"""How near the meanings of two nouns are in WordNet's tree: the measure of Wu and Palmer (1994).

WordNet's own files are read, as Debian's package `wordnet-base` has them in /usr/share/wordnet: `index.noun`,
`data.noun` and `noun.exc`. Their format is in wndb(5WN), the ways from a plural to its base form in morphy(7WN).

    wordnet = WordNet(Path("/usr/share/wordnet"))
    wordnet.similarity("armchair", "sofa")  # 0.857: both are seats
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from watchline.ops.errors import AnnotationRefused

FOLDER = Path("/usr/share/wordnet")
ABOVE = (b"@", b"@i")  # pointers to what a sense is a kind of, or an instance of
ENDINGS = {
    "s": "",
    "ses": "s",
    "ves": "f",
    "xes": "x",
    "zes": "z",
    "ches": "ch",
    "shes": "sh",
    "men": "man",
    "ies": "y",
}
"""How plurals end, and their base forms instead."""


class WordNet:
    """The nouns of WordNet, and what each is a kind of. A sense is a number.

    Args:
        folder: has WordNet's files.

    Raises:
        AnnotationRefused: it does not have them, or they are broken.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "data.noun"
        try:
            self._index, self._bases = (dict(_rows(folder / name)) for name in ("index.noun", "noun.exc"))
            self._data = self._file.read_bytes()
        except (OSError, ValueError) as error:
            raise AnnotationRefused(
                f"{folder}: it has no nouns of WordNet ({error}); expected index.noun, data.noun and noun.exc, as "
                f"`apt-get install wordnet-base` puts them into {FOLDER}"
            ) from error
        self._above = cache(self._read_above)

    def senses(self, noun: str) -> list[int]:
        """What a noun may mean; a plural what its base form may. It is not known: []."""
        word = noun.lower().replace(" ", "_")
        bases = [word[: -len(end)] + base for end, base in ENDINGS.items() if word.endswith(end)]
        bases = self._bases[word].split() if word in self._bases else bases
        rows = [self._index[form].split() for form in dict.fromkeys([word, *bases]) if form in self._index]
        return [int(sense) for row in rows for sense in row[-int(row[1]) :]]

    def similarity(self, one: str, other: str) -> float:
        """How near two nouns are, 0 to 1, by their nearest senses; 0 where one is not known.

        Of two senses, 2 d / (d_1 + d_2): d is the depth of what both are a kind of, the deepest that there is; d_1 and
        d_2 are the depths of the two if the path to the root goes through it.
        """
        pairs = [(a, b) for a in self.senses(one) for b in self.senses(other)]
        return max((self._near(a, b) for a, b in pairs), default=0.0)

    def _near(self, one: int, other: int) -> float:
        ups, others = self._ups(one), self._ups(other)
        depths = {sense: self._depths(sense) for sense in ups if sense in others}
        deepest = max(map(min, depths.values()), default=0)
        both = [(1 + max(d), ups[sense] + others[sense]) for sense, d in depths.items() if min(d) == deepest]
        return max((2 * depth / (2 * depth + steps) for depth, steps in both), default=0.0)

    def _ups(self, sense: int) -> dict[int, int]:
        """All that a sense is a kind of, itself too, and how many steps above it they are at least."""
        steps, layer = {sense: 0}, [sense]
        while layer:
            layer = [up for low in layer for up in self._above(low) if up not in steps]
            steps |= dict.fromkeys(layer, 1 + max(steps.values()))
        return steps

    def _depths(self, sense: int) -> set[int]:
        """The lengths of its paths to the root."""
        return {1 + depth for up in self._above(sense) for depth in self._depths(up)} or {0}

    def _read_above(self, sense: int) -> list[int]:
        """What a sense is a kind of. Raises AnnotationRefused: it is not in data.noun."""
        line = self._data[sense : self._data.find(b"\n", sense)].partition(b" | ")[0].split()
        try:
            pointers = line[4 + 2 * int(line[3], 16) :]  # after the words, each with a number
            above = [int(pointers[2 + 4 * n]) for n in range(int(pointers[0])) if pointers[1 + 4 * n] in ABOVE]
            is_there = int(line[0]) == sense
        except (ValueError, IndexError):
            is_there = False
        if not is_there:
            raise AnnotationRefused(
                f"{self._file}: sense {sense} of index.noun is not there; expected both files of one WordNet"
            )
        return above


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file, each as its first word and the rest; those that begin with a space are its licence."""
    for line in file.read_text(encoding="ascii").splitlines():
        if not line.startswith(" "):
            word, _, rest = line.partition(" ")
            yield word, rest
