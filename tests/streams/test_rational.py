"""FFmpeg's rational numbers, in whichever type PyAV gives them."""

from fractions import Fraction

import av
import pytest

from watchline.streams.rational import fraction


class Unknown:
    """As PyAV 19 has what is not known: 0/0, which is false."""

    numerator = denominator = 0

    def __bool__(self) -> bool:
        return False


def test_what_is_known_is_exact() -> None:
    assert fraction(Fraction(30000, 1001)) == Fraction(30000, 1001)
    assert type(fraction(Fraction(25))) is Fraction


@pytest.mark.parametrize("value", [None, Fraction(0), Unknown()])
def test_what_is_not_known_is_none(value: object) -> None:
    assert fraction(value) is None  # type: ignore[arg-type]


def test_pyav_s_own_become_fractions(bikes) -> None:
    with av.open(bikes) as container:
        video = container.streams.video[0]
        found = [fraction(value) for value in (video.time_base, video.average_rate)]
    assert [type(value) for value in found] == [Fraction, Fraction]
    assert found[1] == 25
