"""Who is in a zone: inertia, loitering once a stay, and times that follow the clock, not the frames."""

import pytest

from watchline.ops.stays import Stay


def changes(inside, inertia=0.5, loitering=None, step=0.1):
    """What a track does. Args: inside, a letter for each frame, # where it is inside."""
    stay, found = Stay(), []
    for frame, letter in enumerate(inside):
        found += stay.update(letter == "#", frame * step, inertia, loitering)
    return [(state, round(since, 1), round(until, 1)) for state, since, until in found], stay.is_in


@pytest.mark.parametrize(
    ("inside", "found", "is_in"),
    [
        ("..######", [("enter", 0.2, 0.7)], True),
        ("..#####.", [], False),
        ("######....", [("enter", 0, 0.5)], True),
        ("######.....", [("enter", 0, 0.5), ("leave", 0, 0.5)], False),
        ("######...##....", [("enter", 0, 0.5)], True),
        ("######...##.....", [("enter", 0, 0.5), ("leave", 0, 1)], False),
        ("####.######", [("enter", 0.5, 1)], True),
        ("#.#.#.#.#", [], False),
    ],
)
def test_who_enters_and_leaves(inside, found, is_in):
    assert changes(inside) == (found, is_in)


def test_one_frame_is_not_enough_however_small_the_inertia():
    assert changes("#.##", inertia=0.001) == ([("enter", 0.2, 0.3)], True)


def test_it_loiters_once_a_stay():
    found, _ = changes("#" * 20 + "." * 6 + "#" * 12, loitering=1)
    assert [state for state, *_ in found] == ["enter", "loiter", "leave", "enter", "loiter"]
    assert found[1] == ("loiter", 0, 1.0)


def test_rare_frames_are_as_good():
    assert changes("##.", step=0.5)[0] == [("enter", 0, 0.5), ("leave", 0, 0.5)]


def test_a_stay_can_end_because_its_track_does():
    stay = Stay()
    assert stay.end() == []
    for seconds in (1.0, 2.0):
        stay.update(True, seconds, 0.5, None)
    assert [tuple(change) for change in stay.end()] == [("leave", 1.0, 2.0)]
    assert stay.end() == []
