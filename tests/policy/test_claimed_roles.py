"""A role that a claim gives is worth what a line of `roles.csv` gives, for that caller alone."""

import pytest

from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.principal import Principal
from tests.policy.making import NOW, SHIPPED, TOOLS

TEXTS = {each.name: each.read_text(encoding="utf-8") for each in SHIPPED.iterdir() if each.is_file()}
NEW, BOT = "person:new@larkspur.example", "agent:new-bot"
IDENTITY = """\
resource = "https://remit.larkspur.example/mcp"
[issuers.staff]
issuer = "https://id.larkspur.example"
tenant = "larkspur"
person = {{ claim = "sub" }}
clients = {{ desktop = "person" }}
roles = {{ claim = "groups", give = {{ some = "{role}" }} }}
"""


def policy(line: str = "", identity: str = "") -> Policy:
    given = {"roles.csv": TEXTS["roles.csv"] + line, "identity.toml": identity}
    return policy_from_texts({**TEXTS, **given}, TOOLS)


ROLES = sorted({rule.role for rule in policy().rules} - {"role:everyone"})


@pytest.mark.parametrize("role", ROLES)
def test_a_claimed_role_is_worth_the_same_as_one_in_the_file(role: str) -> None:
    listed = policy(f"\ng, {NEW}, {role}, larkspur\ng, {BOT}, {role}, larkspur\n")
    claimed = policy(identity=IDENTITY.format(role=role))
    name, bot = NEW.partition(":")[2], BOT.partition(":")[2]
    for person, agent in ((name, None), (None, bot)):
        by_line = Principal("larkspur", person, agent)
        by_claim = Principal("larkspur", person, agent, frozenset({role}))
        assert claimed.groups(by_claim) == listed.groups(by_line)
        of_requests = [each.id for each in listed.limits_on_requests(by_line)]
        assert [each.id for each in claimed.limits_on_requests(by_claim)] == of_requests
        for tool in TOOLS:
            limits = [each.id for each in listed.limits_on(by_line, tool.name)]
            assert [each.id for each in claimed.limits_on(by_claim, tool.name)] == limits, tool.name
            assert claimed.obligations(by_claim, tool.name).ids == listed.obligations(by_line, tool.name).ids
            assert claimed.shows(by_claim, tool.name, NOW) == listed.shows(by_line, tool.name, NOW), tool.name
            decided = [each.decide(who, tool.name, {}, NOW) for each, who in ((claimed, by_claim), (listed, by_line))]
            assert (decided[0].verdict, decided[0].rules) == (decided[1].verdict, decided[1].rules), tool.name
        assert not any(claimed.shows(by_line, tool.name, NOW) for tool in TOOLS if role != "role:everyone")


@pytest.mark.parametrize("role", ROLES)
def test_what_a_claim_gives_a_person_it_does_not_give_the_agent_that_acts_for_them(role: str) -> None:
    claimed = policy(identity=IDENTITY.format(role=role))
    both = Principal("larkspur", NEW.partition(":")[2], BOT.partition(":")[2], frozenset({role}))
    assert not any(claimed.shows(both, tool.name, NOW) for tool in TOOLS)
