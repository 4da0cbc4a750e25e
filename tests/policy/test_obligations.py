"""`obligations.csv`: what is kept back of results, from whom, and every way in which a line may be wrong."""

import pytest

from gateway.policy.comparing.diff import differences
from gateway.policy.files.obligations import NONE, Redaction, What
from gateway.policy.judge import Policy
from gateway.policy.load import load_policy, policy_from_texts
from gateway.policy.problem import PolicyError
from tests.policy.making import ANA, BOT, BOT_FOR_ANA, MODEL, NOW, SHIPPED, TEAM, TOOLS

RULES = "p, R1, role:team, *, , allow, all\np, B1, role:bot, *, , allow, all\n"


def policy(obligations: str) -> Policy:
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": RULES, "obligations.csv": obligations}
    return policy_from_texts(texts, TOOLS)


def test_each_party_brings_what_is_said_of_it_and_the_lowest_cap_counts() -> None:
    found = policy(
        'redact, O1, role:team, email_*, *, secrets, ""\n'
        'redact, O2, role:bot, email_get_thread, messages[].body, "ibans payment_cards", ""\n'
        'cap, O3, role:everyone, *, 50000, ""\ncap, O4, role:bot, *, 20000, ""\n'
    )
    assert found.obligations(ANA, "email_get_thread").ids == ("O1", "O3")
    assert found.obligations(BOT, "email_get_thread").ids == ("O2", "O3", "O4")
    both = found.obligations(BOT_FOR_ANA, "email_get_thread")
    assert (both.ids, both.cap) == (("O1", "O2", "O3", "O4"), 20_000)
    assert both.redactions[1].whats == (What.IBANS, What.PAYMENT_CARDS)
    assert found.obligations(ANA, "crm_get_contact").ids == ("O3",)
    assert found.decide(BOT_FOR_ANA, "email_get_thread", {}, NOW).obligations == both.ids


def test_without_the_file_nothing_is_obliged_to() -> None:
    found = policy_from_texts({"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": RULES}, TOOLS)
    assert found.obligations(ANA, "crm_get_contact") is NONE


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("redac, O1", "1:1: error: unknown line type `redac`: lines of obligations.csv start with `redact` or `cap`"),
        (
            "cap, O1, role:bot, *",
            "1:1: error: expected 6 columns (cap, id, role, tool, characters, note), found 4",
        ),
        ('cap, 1, role:bot, *, 2000, ""', "1:6: error: id `1` must be a letter, then letters, digits, `_` or `-`"),
        ('cap, O1, role:bott, *, 2000, ""', "1:10: error: unknown role `role:bott` — did you mean `role:bot`?"),
        ('cap, O1, bot, *, 2000, ""', "1:10: error: role `bot` needs its prefix — did you mean `role:bot`?"),
        ('cap, O1, role:bot, emial_*, 2000, ""', "1:20: error: no tool matches `emial_*` — did you mean `email_*`?"),
        (
            'cap, O1, role:bot, *, 999, ""',
            "1:23: error: `999` must be a number of characters from 1000 to 10000000, such as `20000`",
        ),
        ('cap, R1, role:bot, *, 2000, ""', "1:6: error: id `R1` is a rule's already, on line 1 of rules.csv"),
        (
            'redact, O1, role:bot, email_get_thread, messages[].bodi, secrets, ""',
            "1:41: error: no result of these tools has a text at `messages[].bodi` — did you mean `messages[].body`?",
        ),
        (
            'redact, O1, role:bot, email_get_thread, messages[].id, field, ""',
            "1:41: error: `messages[].id` is made by the system and holds nothing to keep back",
        ),
        ('redact, O1, role:bot, *, *, secret, ""', "1:29: error: unknown kind `secret` — did you mean `secrets`?"),
        (
            'redact, O1, role:bot, *, *, , ""',
            "1:29: error: nothing is kept back: name some of secrets, payment_cards, ibans, addresses, phones, "
            "personal, field",
        ),
        ('redact, O1, role:bot, *, *, ibans ibans, ""', "1:29: error: a kind is named twice"),
        (
            'redact, O1, role:bot, *, *, field, ""',
            "1:29: error: `field` keeps back the whole field: name the field, and nothing beside it",
        ),
        (
            'cap, O1, role:bot, *, 2000, ""\ncap, O1, role:team, *, 2000, ""',
            "2:6: error: id `O1` has a line already",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(line: str, said: str) -> None:
    with pytest.raises(PolicyError) as refused:
        policy(line)
    assert [str(problem) for problem in refused.value.problems] == [f"obligations.csv:{said}"]


def test_a_change_is_told_line_by_line() -> None:
    old = policy('redact, O1, role:team, *, *, ibans, ""\ncap, O2, role:team, *, 2000, ""\n')
    new = policy('redact, O1, role:team, *, *, ibans secrets, ""\ncap, O3, role:team, *, 3000, why\n')
    assert [str(each) for each in differences(old, new)] == [
        "changed obligation O1: redact ibans in * → ibans secrets in *",
        "removed obligation O2: role role:team; tool *; cap 2000",
        "added obligation O3: role role:team; tool *; cap 3000; note why",
    ]


def test_the_shipped_policy_keeps_secrets_and_cards_from_every_agent() -> None:
    shipped = load_policy(SHIPPED, TOOLS)
    agents = {link.role for link in shipped.links if link.subject.startswith("agent:")}
    for role in agents:
        lines = [line for line in shipped.obliging if isinstance(line, Redaction) and line.role == role]
        kept = {what for line in lines if line.pattern == line.field == "*" for what in line.whats}
        assert {What.SECRETS, What.PAYMENT_CARDS} <= kept, role
