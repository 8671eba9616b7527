import pytest

from watchline.ops.words import text_of, words_of

WORDS = ["", "a", "dog", "'s", "t-shirt", "is", "n't", "red"]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A Dog 's T-shirt is n't red .", "a dog 's t-shirt is n't red"),
        ("A dog's t-shirt isn't red.", "a dog 's t-shirt is n't red"),
        ('Two "men" , 3 women ; a close - up ...', "two men 3 women a close up"),
        ("players #8 & #11 ( in blue )", "players # 8 & # 11 in blue"),
        ("the boys' ball", "the boys ball"),
        (" . ", ""),
    ],
)
def test_words_are_split_as_the_penn_treebank_splits_them(caption, words):
    assert words_of(caption) == words.split()


def test_numbers_become_text_up_to_the_end():
    assert text_of([1, 2, 3, 4, 5, 6, 7, 0, 0], WORDS) == "a dog's t-shirt isn't red"
    assert text_of([1, 2], WORDS) == "a dog"
    assert text_of([0, 2], WORDS) == ""
    assert text_of([], WORDS) == ""


@pytest.mark.parametrize("number", [-1, 8])
def test_a_number_without_a_word_is_an_error(number):
    with pytest.raises(ValueError, match=f"word number {number}: expected 0 to 7"):
        text_of([1, number], WORDS)
