import pytest

from watchline.pipeline.errors import LedgerError
from watchline.pipeline.ledger import Account, Ledger


def test_every_frame_is_in_one_place():
    ledger = Ledger()
    for i in range(1, 6):
        ledger.decoded("a", i)
    ledger.annotated("a", 1)
    ledger.dropped("a", 3, "late")
    account = ledger.accounts()["a"]
    assert account == Account(decoded=5, annotated=1, dropped={"late": 1}, in_flight=3)
    assert account.balances
    ledger.drop_in_flight("stopped")
    assert ledger.accounts()["a"] == Account(5, 1, {"late": 1, "stopped": 3}, 0)


def test_accounts_of_streams_that_are_over_become_one():
    ledger = Ledger()
    for stream in "ab":
        for i in range(3):
            ledger.decoded(stream, i)
        ledger.annotated(stream, 0)
        ledger.dropped(stream, 1, "failed")
        ledger.sum_up(stream, "all")
        assert stream in ledger.accounts(), "a frame is in flight"
        ledger.annotated(stream, 2)
        ledger.sum_up(stream, "all")
    assert ledger.accounts() == {"all": Account(6, 4, {"failed": 2}, 0)}


def test_no_cause_is_named_without_frames():
    ledger = Ledger()
    ledger.decoded("a", 1)
    ledger.annotated("a", 1)
    ledger.drop_in_flight("stopped")
    assert ledger.accounts()["a"].dropped == {}


@pytest.mark.parametrize(
    "book",
    [
        lambda ledger: ledger.annotated("a", 2),  # never decoded
        lambda ledger: ledger.annotated("b", 1),  # no such stream
        lambda ledger: ledger.decoded("a", 1),  # decoded twice
        lambda ledger: [ledger.annotated("a", 1), ledger.annotated("a", 1)],  # written twice
        lambda ledger: [ledger.dropped("a", 1, "late"), ledger.annotated("a", 1)],  # dropped, then written
    ],
)
def test_lost_and_repeated_frames_are_found(book):
    ledger = Ledger()
    ledger.decoded("a", 1)
    with pytest.raises(LedgerError):
        book(ledger)


def test_accounts_that_do_not_balance_say_so():
    assert not Account(decoded=5, annotated=3, dropped={"late": 1}, in_flight=0).balances


def test_accounts_of_runs_beside_this_one_are_added():
    ledger = Ledger()
    for number in (1, 2):
        ledger.take(
            "all files", Account(decoded=5 * number, annotated=4 * number, dropped={"late": number}, in_flight=0)
        )
    assert ledger.accounts() == {"all files": Account(15, 12, {"late": 3}, 0)}
