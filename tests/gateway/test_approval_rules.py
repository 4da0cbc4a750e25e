"""Whatever people do to a question in whatever order, a yes counts only for exactly what it was given to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.registry import TOOLS
from gateway.approvals import answering, read_approval
from gateway.approvals.answering import NotAnswerable
from gateway.approvals.approval import Approval, Ruling, State
from gateway.journal import Entry, Kind
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.principal import Principal
from gateway.settings import SHIPPED_POLICIES

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ASKER = Principal("larkspur", person="ana", agent="triage")
PEOPLE = ("ana", "maya", "nadia", "tom", "olga", "stranger")
TEXTS = {
    "model.conf": (SHIPPED_POLICIES / "model.conf").read_text(),
    "roles.csv": "".join(f"g, person:{name}, role:lead, larkspur\n" for name in ("ana", "maya", "nadia", "olga"))
    + "g, person:tom, role:agent, larkspur\ng, agent:triage, role:agent, larkspur\n",
    "rules.csv": "p, A1, role:agent, crm_issue_refund, , ask, look\n",
    "approvers.csv": "approver, role:lead, crm_*, *, quorum=2\napprover, role:agent, crm_*, *, after=4h\n"
    "operator, agent:triage, person:olga, *\n",
}
POLICIES = tuple(
    policy_from_texts({**TEXTS, "rules.csv": TEXTS["rules.csv"] + comment}, TOOLS) for comment in ("", "# changed\n")
)


def asked() -> Entry:
    body = {
        "tool": "crm_issue_refund",
        "person": ASKER.person,
        "agent": ASKER.agent,
        "arguments": {"amount": 80},
        "schema_hash": "0" * 64,
        "said": {},
        "rules": ["A1"],
        "reason": "look",
        "policy_version": POLICIES[0].version,
        "quorum": 2,
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
    }
    return Entry("apr_1", "larkspur", ASKER.name, NOW, Kind.ASKED, body)


def decision(policy: Policy, verdict: Verdict) -> Decision:
    return Decision(verdict, ("A1",), "look", policy.version)


def act(approval: Approval, step: tuple[str, str, int, int], now: datetime) -> Entry:
    what, person, number, which = step
    policy, who = POLICIES[which], Principal("larkspur", person=person)
    verdict = (Verdict.ASK, Verdict.ALLOW, Verdict.DENY)[number % 3]
    match what:
        case "yes" | "no":
            return answering.answered(approval, who, policy, what == "yes", "", now)
        case "edit":
            return answering.edited(approval, who, policy, {"amount": number}, decision(policy, verdict), "", now)
        case "ask":
            return answering.asked_back(approval, who, policy, "why?", now)
        case "pass":
            return answering.delegated(approval, who, policy, PEOPLE[number % len(PEOPLE)], now)
        case "rebind":
            return answering.rebound(approval, Ruling(("A1",), "look", policy.version, 2), now)
        case _:
            return answering.withdrawn(approval, decision(policy, verdict), now)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["yes", "yes", "yes", "no", "edit", "ask", "pass", "rebind", "withdraw"]),
        st.sampled_from(PEOPLE),
        st.integers(0, 9),
        st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=12,
)


@given(steps=STEPS, hours=st.integers(0, 30))
@settings(max_examples=500, deadline=None)
def test_a_yes_covers_exactly_what_stands_and_never_the_askers_own(
    steps: list[tuple[str, str, int, int]], hours: int
) -> None:
    entries = [asked()]
    given_to: dict[str, set[str]] = {}
    """By whom each binding was said yes to, by an account of its own."""
    for step in steps:
        approval = read_approval(entries)
        assert approval is not None
        try:
            entry = act(approval, step, NOW + timedelta(hours=hours))
        except NotAnswerable:
            continue
        assert entry.once == f"apr_1:{len(entries) - 1}"
        entries.append(replace(entry, position=len(entries)))
        after = read_approval(entries)
        assert after is not None
        if entry.kind is Kind.ANSWERED and entry.body["approved"]:
            if "edited" in entry.body:
                given_to[after.binding] = set()
            given_to.setdefault(after.binding, set()).add(step[1])
            assert step[1] not in ("ana", "olga", "stranger")
        elif entry.kind in {Kind.REBOUND, Kind.WITHDRAWN}:
            given_to.clear()
        if after.state(NOW + timedelta(hours=hours)) is State.APPROVED:
            assert len(given_to[after.binding]) >= after.quorum
            assert len({vote.authority for vote in after.votes}) == len(after.votes)
            assert after.refusal is None
            assert not after.withdrawn
        assert hours < 24 or after.state(NOW + timedelta(hours=hours)) is not State.APPROVED


def test_what_happens_to_a_question_afterwards_cannot_undo_its_end() -> None:
    refused = [asked(), answering.answered(_read(), _maya(), POLICIES[0], False, "no", NOW)]
    approval = read_approval(refused)
    assert approval is not None
    for what in ("yes", "edit", "ask", "pass"):
        with pytest.raises(NotAnswerable, match="refused already, by maya"):
            act(approval, (what, "nadia", 0, 0), NOW)


def _read() -> Approval:
    approval = read_approval([asked()])
    assert approval is not None
    return approval


def _maya() -> Principal:
    return Principal("larkspur", person="maya")
