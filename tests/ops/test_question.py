import numpy as np
import pytest

from watchline.ops.question import best, numbers, read, row

WORDS = ("?", "what", "is", "on", "the", "table")
SCORES = np.array([0.1, 0.4, 0.2, 0.3], np.float32)


def test_a_question_becomes_numbers_up_to_its_end():
    asked = read("What is on the Table?", WORDS, 8)
    assert asked.numbers.tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    assert asked.numbers.dtype == np.int32
    assert asked.words == ("what", "is", "on", "the", "table", "?")
    assert asked.unknown == ()


def test_words_that_are_not_known_have_a_number_of_their_own():
    asked = read("the zebra is the zebra", WORDS, 8)
    assert asked.numbers.tolist() == [4, 6, 2, 4, 6, 0, 0, 0]
    assert asked.unknown == ("zebra",)


@pytest.mark.parametrize("question", ["", "?", "a b c d e f g h"])
def test_a_question_of_no_words_or_too_many_is_refused(question):
    with pytest.raises(ValueError, match=r"a question of [08] words: expected 1 to 7"):
        read(question, WORDS, 8)


def test_a_question_of_a_data_set_may_be_of_any_length():
    assert row("?", WORDS, 4).tolist() == [0, 0, 0, 0]
    assert row("what is on the zebra", WORDS, 4).tolist() == [1, 2, 3, 0]
    assert row("the zebra", WORDS, 4).tolist() == read("the zebra", WORDS, 4).numbers.tolist() == [4, 6, 0, 0]
    assert numbers(["the", "zebra"], dict(zip(WORDS, range(6), strict=True)), 4) == [4, 6]


def test_the_likeliest_answer_is_taken():
    assert best(SCORES, ()) == (1, pytest.approx(0.4))


def test_of_given_answers_one_is_right():
    assert best(SCORES, (0, 3)) == (3, pytest.approx(0.75))
    assert best(SCORES, (2,)) == (2, pytest.approx(1))
    assert best(np.zeros(3, np.float32), (0, 2)) == (0, 0.5)
    assert best(SCORES, (1, 1)) == (1, pytest.approx(1))
