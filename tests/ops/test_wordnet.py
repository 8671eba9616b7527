"""On a small tree in WordNet's format, and on WordNet itself where it is installed."""

import pytest

from watchline.ops.errors import AnnotationRefused
from watchline.ops.wordnet import FOLDER, WordNet

TREE = {  # a word, and what it is a kind of
    "entity": [],
    "thing": ["entity"],
    "furniture": ["thing"],
    "seat": ["furniture"],
    "chair": ["seat"],
    "sofa": ["seat"],
    "table": ["furniture"],
    "animal": ["entity"],
    "foot": ["animal"],
    "sofa_bed": ["sofa", "bed"],
    "bed": ["furniture"],
}


@pytest.fixture
def folder(tmp_path):
    """The tree as WordNet's files; "spirit" has no root in common with the rest, "table" a second sense, an animal."""
    words = [*((word, above) for word, above in TREE.items()), ("table", ["animal"]), ("spirit", [])]
    size = 150  # bytes of a line
    places = {word: size * (1 + n) for n, (word, _) in reversed([*enumerate(words)])}
    lines, senses = ["  1 the licence"], {}
    for n, (word, above) in enumerate(words, 1):
        senses.setdefault(word, []).append(size * n)
        kinds = [f"{'@' if i else '@i'} {places[up]:08d} n 0000" for i, up in enumerate(above)]
        lines.append(
            " ".join([f"{size * n:08d} 03 n 01 {word} 0 {len(kinds) + 1:03d} + 00000001 v 0101", *kinds, "| it"])
        )
    (tmp_path / "data.noun").write_text("".join(f"{line:<{size - 1}}\n" for line in lines))
    index = [f"{word} n {len(n)} 1 @ {len(n)} 0 {' '.join(f'{s:08d}' for s in n)}  " for word, n in senses.items()]
    (tmp_path / "index.noun").write_text("  1 the licence\n" + "\n".join(index) + "\n")
    (tmp_path / "noun.exc").write_text("feet foot\n")
    return tmp_path


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("chair", "chair", 1),
        ("chair", "sofa", 2 * 4 / (5 + 5)),  # both are seats, at depth 4
        ("chair", "table", 2 * 3 / (5 + 4)),  # furniture
        ("chair", "seat", 2 * 4 / (5 + 4)),
        ("foot", "table", 2 * 2 / (3 + 3)),  # the other sense of table
        ("chair", "foot", 2 * 1 / (5 + 3)),
        ("sofa bed", "bed", 2 * 4 / (5 + 4)),  # by the shorter of its two paths
        ("chairs", "Sofas", 0.8),
        ("feet", "foot", 1),
        ("chair", "spirit", 0),
        ("chair", "gizmo", 0),
        ("", "", 0),
    ],
)
def test_nouns_are_as_near_as_what_both_are_a_kind_of(folder, one, other, expected):
    wordnet = WordNet(folder)
    assert wordnet.similarity(one, other) == pytest.approx(expected)
    assert wordnet.similarity(other, one) == pytest.approx(expected)


def test_a_folder_without_wordnet_is_named_with_what_to_install(tmp_path):
    with pytest.raises(AnnotationRefused, match=r"no nouns of WordNet .*; expected .* `apt-get install wordnet-base`"):
        WordNet(tmp_path)


def test_files_that_do_not_belong_together_are_named(folder):
    (folder / "index.noun").write_text("chair n 1 1 @ 1 0 00000100  \n")
    with pytest.raises(AnnotationRefused, match=r"sense 100 of index\.noun is not there; expected both files of one"):
        WordNet(folder).similarity("chair", "chair")


@pytest.mark.skipif(not FOLDER.is_dir(), reason="WordNet is not installed: apt-get install wordnet-base")
def test_wordnet_says_what_nltk_says_of_it():
    """Figures of NLTK 3.10's `wup_similarity`, of the nearest senses."""
    wordnet = WordNet(FOLDER)
    expected = {
        ("armchair", "sofa"): 0.8571,
        ("books", "lamp"): 0.5882,
        ("chair", "table"): 0.8421,
        ("knives", "fork"): 0.7619,
        ("men", "lamp"): 0.6667,
        ("red", "blue"): 0.875,
        ("2", "3"): 0.875,
        ("garbage_bin", "table"): 0.0,
    }
    assert {pair: round(wordnet.similarity(*pair), 4) for pair in expected} == expected
