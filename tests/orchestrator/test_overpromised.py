"""What a letter may not say because it did not happen: promises, admissions and sums, also behind polite words."""

import pytest

from orchestrator.workflows.blocks import overpromised


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("We will refund you.", ["promises refund"]),
        ("Do not worry, we will refund you in full.", ["promises refund"]),
        ("No problem: a replacement is on its way.", ["promises replacement"]),
        ("It is no trouble and you get a voucher.", ["promises compensation"]),
        ("It was our fault, not yours.", ["promises fault"]),
        ("You receive 40.00 for it.", ["names the amount 40.00"]),
        ("You receive EUR 500.", ["names the amount 500"]),
        ("You receive 1,240.00 EUR and $7.", ["names the amount 1,240.00", "names the amount 7"]),
        ("Wir zahlen 1.240 €.", ["names the amount 1.240"]),
    ],
)
def test_what_did_not_happen_is_named(text: str, told: list[str]) -> None:
    assert overpromised(text, set(), set()) == told


@pytest.mark.parametrize(
    "text",
    [
        "Nothing was refunded, and we cannot promise a date.",
        "There is no refund and no voucher; it was not our fault.",
        "Order LI-20417 of 20 November has 3 parts.",
    ],
)
def test_what_is_denied_is_no_promise(text: str) -> None:
    assert overpromised(text, set(), set()) == []


def test_what_happened_may_be_said_with_its_sum_however_it_is_written() -> None:
    text = "We have refunded 1240.00 EUR, that is EUR 1,240 or 1.240,00 €."
    assert overpromised(text, {"refund"}, {"1240.00", ""}) == []
