"""What policy keeps back of a text, however it is written, and what only looks like it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from gateway.policy.files.obligations import Redaction, What
from gateway.results import redacting
from gateway.results.detecting import find
from gateway.results.redacting import redacted
from tests.policy.making import TOOLS

THREAD = next(tool for tool in TOOLS if tool.name == "email_get_thread")
BODY = "messages[].body"


def taken(text: str, *whats: What, field: str = "*", path: str = BODY) -> str:
    return redacted(THREAD, path, text, [Redaction("O1", "role:x", "*", field, whats, "")])[0]


CARD = "⟦redacted: payment card, rule O1⟧"


@pytest.mark.parametrize(
    "written",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "４１１１ １１１１ １１１１ １１１１",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "4111\u200b1111\u200b1111\u200b1111",
        "4111\xa01111\xa01111\xa01111",
        "4111\n1111\n1111\n1111",
        "4111‑1111–1111—1111",
        "4111.1111.1111.1111",
        "378282246310005",
        "5555 5555 5555 4444",
        "3056 930902 5904",
        "4111\U000e00411111\x001111 1111",
    ],
)
def test_a_card_number_is_found_however_it_is_written(written: str) -> None:
    assert taken(f"Order 20431, card {written}, thanks", What.PAYMENT_CARDS) == f"Order 20431, card {CARD}, thanks"


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "Order 4111 1111 1111",
        "call +49 30 4111 1111 11",
        "tracking 41111111111111110000000",
        "2026-11-26 2026-11-27",
        "1234 5678 9012 3456",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert taken(text, What.PAYMENT_CARDS) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("pay to DE89 3704 0044 0532 0130 00 please", What.IBANS),
        ("pay to gb82west12345698765432.", What.IBANS),
        ("NO93-8601-1117-947", What.IBANS),
        ("ＤＥ８９３７０４００４４０５３２０１３０００", What.IBANS),
        ("write to lena+x@brightlab.example or call", What.ADDRESSES),
        ("write to lena＠brightlab.example", What.ADDRESSES),
        ("call +49 (0)30 901820, or 0049 30 901820", What.PHONES),
        ("call +1-415-555-2671.", What.PHONES),
        ("key AKIAIOSFODNN7EXAMPLE here", What.SECRETS),
        ("token ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", What.SECRETS),
        ("token sk-ant-api03-abcdefghijklmnopqrstuvwxyz", What.SECRETS),
        ("password: hunter2!", What.SECRETS),
        ("The Kennwort lautet Sommer-2026.", What.SECRETS),
        ("API_KEY=9f8e7d6c5b4a", What.SECRETS),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", What.SECRETS),
        ("db at postgres://app:s3cr3t@db.example/x", What.SECRETS),
        ("AKIA\u200bIOSFODNN7EXAMPLE", What.SECRETS),
    ],
)
def test_what_is_kept_back_is_found(text: str, what: What) -> None:
    assert ", rule O1⟧" in taken(text, what)
    assert not find(taken(text, what), [what])


def test_a_private_key_is_kept_back_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow+/==\n-----END RSA PRIVATE KEY-----"
    assert taken(f"Here:\n{key}\nbye", What.SECRETS) == "Here:\n⟦redacted: secret, rule O1⟧\nbye"


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password: please help",
        "The password is wrong.",
        "order ord_8fj2k3l4m5n6o7p8, LI-20431, DE89 is a route, version 1.2.3.4",
        "Call me on Monday at 10, room 0049",
        "a@b, @handle, 3 @ 5 EUR",
        "GB29 is not an account",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert taken(text, *(set(What) - {What.FIELD, What.PERSONAL})) == text


def test_a_personal_field_is_kept_back_whole_and_another_is_not() -> None:
    assert taken("Lena", What.PERSONAL, path="messages[].sender_name") == "⟦redacted: personal data, rule O1⟧"
    assert taken("Lena", What.PERSONAL, path=BODY) == "Lena"


def test_a_named_field_is_kept_back_whole_and_another_is_not() -> None:
    assert taken("words", What.FIELD, field=BODY) == "⟦redacted: field, rule O1⟧"
    assert taken("words", What.FIELD, field=BODY, path="messages[].subject") == "words"


def test_what_a_system_made_stays() -> None:
    assert taken("4111111111111111", What.PAYMENT_CARDS, path="messages[].id") == "4111111111111111"


def test_several_rules_are_told_each_by_its_name_with_how_often() -> None:
    lines = [
        Redaction("O1", "role:x", "*", "*", (What.PAYMENT_CARDS,), ""),
        Redaction("O2", "role:y", "*", "*", (What.PAYMENT_CARDS, What.ADDRESSES), ""),
    ]
    made, counts = redacted(THREAD, BODY, "a@b.example 4111111111111111 c@d.example", lines)
    assert made == (
        "⟦redacted: email address, rule O2⟧ ⟦redacted: payment card, rule O1⟧ ⟦redacted: email address, rule O2⟧"
    )
    assert counts == {("O2", What.ADDRESSES): 2, ("O1", What.PAYMENT_CARDS): 1}


def test_a_field_that_cannot_be_looked_through_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_text: str, _whats: Sequence[What]) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(redacting, "find", fail)
    made, counts = redacted(THREAD, BODY, "4111 1111 1111 1111", [Redaction("O1", "r", "*", "*", (What.IBANS,), "")])
    assert made == "⟦withheld: it could not be looked through, rule O1⟧"
    assert counts


BETWEEN = st.sampled_from(["", " ", "-", "\u200b", "\xa0", ".", " - ", "\n"])


@given(st.integers(10**14, 10**15 - 1), st.lists(BETWEEN, min_size=15, max_size=15), st.booleans())
def test_no_spacing_hides_a_card_number(number: int, between: list[str], wide: bool) -> None:
    payload = f"4{number}"[:15]
    digits = payload + luhn.calc_check_digit(payload)
    shown = "".join(chr(ord("０") + int(digit)) for digit in digits) if wide else digits
    written = "".join(digit + gap for digit, gap in zip(shown, [*between, ""], strict=True))
    assert taken(f"card {written} end", What.PAYMENT_CARDS) == f"card {CARD} end"
