"""Who calls, as people write it."""

import pytest

from gateway.principal import Principal, parse_principal


@pytest.mark.parametrize(
    ("text", "parties"),
    [
        ("person:ana@larkspur.example", ("person:ana@larkspur.example",)),
        ("agent:triage", ("agent:triage",)),
        ("agent:triage+person:ana@larkspur.example", ("person:ana@larkspur.example", "agent:triage")),
        ("person:ana+test@larkspur.example", ("person:ana+test@larkspur.example",)),
        ("person:ana+test@larkspur.example+agent:triage", ("person:ana+test@larkspur.example", "agent:triage")),
    ],
)
def test_a_principal_is_a_person_an_agent_or_both(text: str, parties: tuple[str, ...]) -> None:
    assert parse_principal(text, "larkspur").parties == parties


@pytest.mark.parametrize("text", ["", "ana", "role:lead", "person:", "person:a+person:b", "agent:a+person:"])
def test_anything_else_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(ValueError, match="write `person:NAME`"):
        parse_principal(text, "larkspur")


@pytest.mark.parametrize("name", ["", " ", "ana ruiz", "ana\n", "a\x00", "\u202eana", "\ud800", "x" * 201])
def test_a_name_is_visible_text_without_blanks(name: str) -> None:
    for person, agent in ((name, None), (None, name), (name, "triage")):
        with pytest.raises(ValueError, match="is not a name"):
            Principal("larkspur", person, agent)
    with pytest.raises(ValueError, match="is not a name"):
        Principal(name, person="ana@larkspur.example")


def test_no_two_principals_have_the_same_name() -> None:
    both = Principal("larkspur", person="ana", agent="triage")
    assert both.name != Principal("larkspur", person="ana+agent:triage").name


def test_nobody_is_not_a_principal() -> None:
    with pytest.raises(ValueError, match="needs a person or an agent"):
        Principal("larkspur")
