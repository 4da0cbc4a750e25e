"""The classes of texts: none is missing, and each has a text that is in it. A missing class would prove too much."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from connectors.fields import Address
from connectors.registry import TOOLS
from gateway.policy.language.kinds import Kind, Type, type_of_model
from gateway.policy.proof.declared import bounds_of_number, form_of_text
from gateway.policy.proof.symbols import sample_text
from gateway.policy.proof.text_classes import classes
from gateway.policy.proof.texts import (
    ADDRESS,
    ANY,
    HAS_DOMAIN,
    NOT_EMPTY,
    AnyLook,
    Form,
    Length,
    Look,
    Neither,
    Outside,
    form_of_pattern,
)

# Capitals, an at sign, and characters whose lower case is odd: K (Kelvin) becomes k, İ becomes two characters.
TEXTS = st.text(alphabet="aAkK@.iİ\n", max_size=5)
PIECES = st.text(alphabet="aki.@A", max_size=3)
LOOKS: st.SearchStrategy[Look] = st.builds(
    Look,
    st.sampled_from(["itself", "lower", "domain"]),
    st.one_of(
        PIECES.map(lambda piece: (piece,)),
        PIECES.map(lambda piece: (piece, "")),
        PIECES.map(lambda piece: ("", piece)),
        st.tuples(PIECES, PIECES, PIECES),
    ),
)
LENGTHS = st.builds(Length, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(0, 4))
ALL_LOOKS: st.SearchStrategy[frozenset[AnyLook]] = st.frozensets(
    st.one_of(LOOKS, LENGTHS, st.frozensets(LOOKS, max_size=2).map(Neither), st.just(HAS_DOMAIN)), max_size=4
)


@settings(max_examples=400, deadline=None)
@given(ALL_LOOKS, st.lists(TEXTS, max_size=30))
def test_every_text_is_in_a_class(looks: frozenset[AnyLook], texts: list[str]) -> None:
    found = classes(ANY, looks)
    known = {each.holds for each in found}
    for text in texts:
        assert frozenset(look for look in looks if look(text)) in known
    for each in found:
        assert each.holds == frozenset(look for look in looks if look(each.text))


@given(ALL_LOOKS, st.frozensets(TEXTS, max_size=3))
def test_a_text_set_apart_has_a_class_of_its_own(looks: frozenset[AnyLook], apart: frozenset[str]) -> None:
    found = classes(ANY, looks, (), apart)
    assert apart <= {each.text for each in found}
    assert {each.holds for each in found if each.text not in apart} <= {each.holds for each in classes(ANY, looks)}


def test_a_nicer_text_stands_for_its_class() -> None:
    looks = frozenset[AnyLook]({Look("domain", ("ours.example",))})
    texts = {each.text for each in classes(ADDRESS, looks, ("someone@elsewhere.example",))}
    assert "someone@elsewhere.example" in texts
    assert any(text.endswith("@ours.example") for text in texts)


@pytest.mark.parametrize("char", ["ς", "σ", "\u0307"])
def test_a_character_whose_lower_case_depends_on_its_neighbours_is_not_translated(char: str) -> None:
    with pytest.raises(Outside):
        classes(ANY, frozenset({Look("lower", (f"a{char}",))}))


def test_too_many_looks_are_given_up() -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmno"]
    with pytest.raises(Outside, match="too many ways"):
        classes(ANY, frozenset(Look("itself", ("", word, "")) for word in words))


def test_no_character_beyond_those_looked_at_has_another_lower_case() -> None:
    assert all(chr(code).lower() == chr(code) for code in range(0x1E944, 0x110000) if not 0xD800 <= code < 0xE000)


def accepted(form: Form, text: str) -> bool:
    """Whether a text is in a language: then it can be set apart in it."""
    return any(each.text == text for each in classes(form, frozenset(), (), frozenset({text})))


@given(st.one_of(st.emails(), st.text(alphabet="aB.+_-@é0", max_size=12).map(lambda text: f"{text}@Example.com")))
def test_whatever_is_accepted_as_an_address_looks_like_one(text: str) -> None:
    try:
        address = TypeAdapter(Address).validate_python(text)
    except ValidationError:
        return
    assert accepted(ADDRESS, address)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (r"^ord_[a-z0-9]{4,6}$", ["ord_aaaa", "ord_000000"], ["ord_aaa", "ord_aaaaaaa", "ord_AAAA", "xord_aaaa"]),
        (r"^[0-9+()./ -]*$", ["", "+49 (0)30/1-2"], ["a"]),
        (r"^[a-z0-9][a-z0-9_-]{0,2}$", ["a", "0_-"], ["", "_", "abcd"]),
        (r"^ab?c+$", ["ac", "abccc"], ["ab", "abbc"]),
    ],
)
def test_a_plain_pattern_becomes_its_language(pattern: str, inside: list[str], outside: list[str]) -> None:
    form = form_of_pattern(pattern)
    assert form != ANY
    assert [text for text in (*inside, *outside) if accepted(form, text)] == inside


@pytest.mark.parametrize(
    "pattern", [r"^(a|b)$", r"a+", r"^\d$", r"^[^a]$", r"^[a&&b]$", "^é$", r"^[a-z]{200}$", r"^a.$"]
)
def test_any_other_pattern_allows_every_text(pattern: str) -> None:
    assert form_of_pattern(pattern) == ANY


def text_fields() -> list[tuple[str, Type]]:
    return [
        (f"{tool.name}.{name}", inside)
        for tool in TOOLS
        for name, field in type_of_model(tool.input).fields.items()
        for inside in (field, field.item)
        if inside is not None and inside.kind is Kind.TEXT and not inside.choices
    ]


@pytest.mark.parametrize(("name", "field"), text_fields())
def test_the_sample_of_a_text_field_is_accepted_by_the_field(name: str, field: Type) -> None:
    form = form_of_text(field)
    sample = sample_text(form)
    assert field.could_be(sample)
    assert form in (ADDRESS, ANY, NOT_EMPTY) or "_id" in name or accepted(form, sample)


@given(st.decimals(min_value="-10", max_value="2000000", allow_nan=False, places=3))
def test_what_an_amount_holds_is_within_what_is_promised_of_it(value: object) -> None:
    amount = next(type_of_model(tool.input).fields["amount"] for tool in TOOLS if tool.name == "crm_issue_refund")
    bounds = bounds_of_number(amount)
    try:
        held = TypeAdapter(amount.annotation).validate_python(value)
    except ValidationError:
        return
    assert held == value
    assert bounds.above is not None
    assert bounds.at_most is not None
    assert bounds.above < held <= bounds.at_most
    assert bounds.decimals is not None
    assert held * 10**bounds.decimals % 1 == 0
