import pytest

from watchline.ops.wups import same, thresholded, wups

NEAR = {("chair", "sofa"): 0.9, ("chair", "table"): 0.8, ("sofa", "table"): 0.7}


def near(one, other):
    return 1.0 if one == other else NEAR.get((one, other), NEAR.get((other, one), 0.0))


def slowly(answers, truth, near):
    """The formula, loop by loop."""
    total = 0.0
    for a, t in zip(answers, truth, strict=True):
        ours = theirs = 1.0
        for thing in a:
            best = 0.0
            for other in t:
                best = max(best, near(thing, other))
            ours *= best
        for thing in t:
            best = 0.0
            for other in a:
                best = max(best, near(other, thing))
            theirs *= best
        total += ours if ours < theirs else theirs
    return total / len(truth)


@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        (["chair"], ["chair"], 1),
        (["chair"], ["sofa"], 0.9),
        (["chair"], ["chair", "sofa"], 0.9),  # one of two is found, the other one nearly
        (["chair", "sofa"], ["chair"], 0.9),
        (["sofa", "chair"], ["chair", "sofa"], 1),
        (["chair", "table"], ["sofa"], 0.9 * 0.7),
        (["chair"], ["gizmo"], 0),
    ],
)
def test_each_thing_of_both_sides_looks_for_the_nearest(answer, truth, expected):
    assert wups([answer], [truth], near) == pytest.approx(expected)
    assert wups([answer, ["x"]], [truth, ["y"]], near) == pytest.approx(expected / 2)
    assert wups([answer], [truth], near) == pytest.approx(slowly([answer], [truth], near))


def test_what_is_below_the_threshold_counts_a_tenth():
    assert thresholded(near, 0.9)("chair", "sofa") == 0.9
    assert thresholded(near, 0.9)("chair", "table") == pytest.approx(0.08)
    assert thresholded(near, 0.0)("chair", "table") == 0.8
    assert thresholded(lambda *_: 0.0, 0.9)("gizmo", "gizmo") == 1  # a word that WordNet does not know


def test_with_things_that_are_the_same_or_not_it_is_the_accuracy():
    answers = [["a"], ["b"], ["a", "b"], ["a"]]
    assert wups(answers, [["a"], ["a"], ["b", "a"], ["a", "b"]], same) == 0.5
