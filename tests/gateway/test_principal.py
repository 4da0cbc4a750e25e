"""Who calls, as people write it."""

import pytest

from gateway.principal import Principal, parse_principal


@pytest.mark.parametrize(
    ("text", "parties"),
    [
        ("person:ana@larkspur.example", ("person:ana@larkspur.example",)),
        ("agent:triage", ("agent:triage",)),
        ("agent:triage+person:ana@larkspur.example", ("person:ana@larkspur.example", "agent:triage")),
    ],
)
def test_a_principal_is_a_person_an_agent_or_both(text: str, parties: tuple[str, ...]) -> None:
    assert parse_principal(text, "larkspur").parties == parties


@pytest.mark.parametrize("text", ["", "ana", "role:lead", "person:", "person:a+person:b", "agent:a+"])
def test_anything_else_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(ValueError, match="write `person:NAME`"):
        parse_principal(text, "larkspur")


def test_nobody_is_not_a_principal() -> None:
    with pytest.raises(ValueError, match="a person or an agent"):
        Principal("larkspur")
