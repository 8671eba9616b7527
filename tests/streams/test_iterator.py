from fractions import Fraction

import numpy as np
import pytest
from clips import picture

from watchline.streams.errors import SourceUnreadable
from watchline.streams.iterator import IteratorSource


def read(frames, **settings):
    with IteratorSource(frames, **settings).open() as reader:
        return list(reader), reader.about


def test_arrays_at_a_rate():
    frames, about = read([picture(i) for i in range(4)], rate=30000 / 1001, stream="mine")
    assert [f.pts * f.time_base for f in frames] == [i * Fraction(1001, 30000) for i in range(4)]
    assert [(f.stream, f.index) for f in frames] == [("mine", i) for i in range(4)]
    assert (about.width, about.height, about.rate, about.frames) == (64, 48, Fraction(30000, 1001), 4)
    assert all((f.picture.bgr() == picture(f.index)).all() for f in frames)


def test_pairs_keep_their_times_to_the_microsecond():
    times = [np.float32(0.5), 0.533333, 2, np.float64(2.000001), Fraction(5, 2), np.int64(3)]
    frames, about = read((picture(0), t) for t in times)
    assert [f.seconds for f in frames] == pytest.approx(times, abs=1e-9)
    assert (about.rate, about.frames) == (None, None)


def test_an_owner_may_fill_an_array_anew():
    array = np.zeros((2, 2, 3), np.uint8)

    def camera():
        for value in range(3):
            array[:] = value
            yield array

    frames, _ = read(camera())
    assert [int(f.picture.bgr()[0, 0, 0]) for f in frames] == [0, 1, 2]
    array[:] = 9  # still the owner's


def test_frozen_arrays_are_not_copied():
    array = picture(0)
    array.flags.writeable = False
    frames, _ = read([array])
    assert frames[0].picture.bgr() is array


ONE = picture(0)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "gave no frame"),
        ([ONE[:, :, 0]], r"frame 0: a picture is uint8 \(48, 64\): expected uint8 \(height, width, 3\)"),
        ([ONE, ONE.astype(float)], "frame 1: a picture is float64"),
        ([ONE, "text"], r"frame 1 is of type str: expected an array, uint8 \(height"),
        ([(ONE, 1.0), ONE], r"frame 1 is not like the first: expected a pair \(array, seconds\)"),
        ([ONE, (ONE, 1.0)], "frame 1 is not like the first: expected an array"),
        ([(ONE, 1.0), (ONE, 1.0)], "frame 1 has the time 1.0 s, which is not after"),
        ([(ONE, float("nan"))], "frame 0 has the time nan"),
        ([(ONE, "soon")], "frame 0 has the time soon: expected seconds"),
    ],
)
def test_what_is_no_picture_is_named(frames, message):
    with pytest.raises(SourceUnreadable, match=message):
        read(frames)


def test_a_rate_may_be_of_numpy():
    assert read([ONE], rate=np.float32(30000 / 1001))[1].rate == Fraction(30000, 1001)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_is_more_than_zero(rate):
    with pytest.raises(ValueError, match="expected more than 0"):
        IteratorSource([ONE], rate=rate)
