"""Why a call came out as it did, on one page, for somebody who was not there."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.journal import Entry, Kind
from gateway.journal.telling import why
from tests.gateway.journals import ENTRY, Kept
from tests.processes import remit

CALL, APPROVAL = "call_18a1b2c3d4e5f60718293a4b5c6d7e8f", "apr_0123456789abcdef01234567"
ASKED = {
    "tool": "crm_issue_refund",
    "person": "ana.ruiz@larkspur.example",
    "agent": "triage",
    "client": "Claude 1.4",
    "run": "run_7",
    "model": "claude-sonnet",
    "prompt": "triage@3",
    "arguments": {"order_id": "ord_1009", "amount": "120.00", "note": "", "tags": ["late", "größer"]},
    "arguments_hash": "ab" * 32,
    "verdict": "ask",
    "rules": ["R2", "R7"],
    "reason": "refunds above 50 need a second look",
    "policy_version": "5f1e2d3c",
}


def told(*steps: tuple[str, Kind, dict[str, Any]]) -> list[Entry]:
    return [
        replace(
            ENTRY, call_id=call, kind=kind, body=body, position=place, at=ENTRY.at + timedelta(minutes=7 * (place - 41))
        )
        for place, (call, kind, body) in enumerate(steps, start=41)
    ]


def test_an_approved_call_is_told_from_the_question_to_what_was_seen() -> None:
    entries = told(
        (APPROVAL, Kind.ASKED, {**ASKED, "expires_at": "2026-11-21T09:00:00+00:00"}),
        (CALL, Kind.PENDING, {**ASKED, "approval": APPROVAL}),
        (APPROVAL, Kind.ANSWERED, {"tool": "x", "approved": True, "approver": "lena@larkspur.example", "note": "fine"}),
        (APPROVAL, Kind.INTENT, {**ASKED, "effect": "send"}),
        (APPROVAL, Kind.OUTCOME, {"tool": "x", "status": "ok", "saw": ["ref_1"], "untrusted": ["note"], "cost": 0.25}),
    )
    assert (
        "\n".join(why(entries))
        == f"""\
call         {APPROVAL}, {CALL}
asked at     2026-11-20 09:00:00.000+00:00
asked by     ana.ruiz@larkspur.example through the agent triage, of larkspur
client said  Claude 1.4
run          run_7
model        claude-sonnet
prompt       triage@3
tool         crm_issue_refund
with         order_id = ord_1009
with         amount = 120.00
with         tags = ["late", "größer"]
policy       5f1e2d3c
result       done

      41  2026-11-20 09:00:00  a person is asked; open until 2026-11-21 09:00 UTC
                               by R2, R7 of policy 5f1e2d3c: refunds above 50 need a second look
      42  2026-11-20 09:07:00  not done yet: {APPROVAL} waits for a person's answer
                               by R2, R7 of policy 5f1e2d3c: refunds above 50 need a second look
      43  2026-11-20 09:14:00  approved by lena@larkspur.example, who notes: fine
      44  2026-11-20 09:21:00  begun (send), after a yes
                               by R2, R7 of policy 5f1e2d3c: refunds above 50 need a second look
      45  2026-11-20 09:28:00  done
                               it showed ref_1
                               outsiders may have written note in what it showed
                               cost = 0.25"""
    )


@pytest.mark.parametrize(
    ("kind", "body", "result"),
    [
        (Kind.UNKNOWN_TOOL, {}, "refused: this caller has no such tool"),
        (Kind.INVALID, {"error": "`amount` is missing"}, "refused: the input was wrong: `amount` is missing"),
        (
            Kind.DENIED,
            {"rules": [], "reason": "no rule allows it", "policy_version": "5f"},
            "denied: no rule allows it",
        ),
        (Kind.DENIED, {"approval": APPROVAL}, f"refused: the question {APPROVAL} was answered with no or expired"),
        (Kind.ANSWERED, {"approved": False, "approver": "lena"}, "refused by lena"),
        (
            Kind.ANSWERED,
            {"approved": True, "approver": "lena", "edited": {"amount": 10}},
            "approved with changes by lena",
        ),
        (
            Kind.ANSWERED,
            {"approved": True, "approver": "tom", "authority": "lena"},
            "approved by tom (by right of lena)",
        ),
        (Kind.ASKED_BACK, {"approver": "lena", "text": "which order?"}, "lena asks back: which order?"),
        (Kind.REPLIED, {"text": "the second"}, "the caller replies: the second"),
        (Kind.DELEGATED, {"approver": "lena", "to": "tom"}, "lena passes the question on to tom"),
        (Kind.WITHDRAWN, {"reason": "rule R9 denies it"}, "asks no more: rule R9 denies it"),
        (Kind.INTENT, {"effect": "send", "standing": "std_1", "approver": "lena"}, "standing approval std_1 of lena"),
        (Kind.REPEATED, {}, "the first answer was given once more"),
        (Kind.OUTCOME, {"status": "failed", "error": "no such order"}, "failed: no such order"),
        (Kind.OUTCOME, {"status": "in_doubt"}, "in doubt: nobody knows whether it happened"),
        (Kind.OUTCOME, {"status": "something new"}, "something new"),
        *((kind, {}, "") for kind in Kind),
    ],
)
def test_every_way_a_call_can_come_out_has_a_sentence(kind: Kind, body: dict[str, Any], result: str) -> None:
    [line] = [line for line in why(told((CALL, kind, body))) if line.startswith("result ")]
    assert result in line


def test_a_kind_of_entry_without_a_sentence_is_told_as_it_is() -> None:
    [entry] = told((CALL, Kind.INTENT, {"tool": "x", "who": "lena"}))
    object.__setattr__(entry, "kind", "escalated")
    assert any("escalated" in line and "lena" in line for line in why([entry]))


def test_what_outsiders_wrote_is_made_visible_and_cut() -> None:
    hostile = "a\x1b[2J\u202eb\r\n" + "x" * 1_000
    lines = list(
        why(told((CALL, Kind.DENIED, {"tool": hostile, "reason": hostile, "arguments": {hostile: [hostile]}})))
    )
    assert all(line.isprintable() for line in lines)
    assert "\\u001b[2J\\u202eb\\u000d\\u000a" in "".join(lines)
    assert max(map(len, lines)) < 500


@pytest.mark.process
def test_the_command_tells_a_call_with_the_approval_that_it_asked_for(kept: Kept) -> None:
    kept.append(
        told(
            (APPROVAL, Kind.ASKED, ASKED),
            (CALL, Kind.PENDING, {**ASKED, "approval": APPROVAL}),
            ("call_other", Kind.DENIED, ASKED),
            (APPROVAL, Kind.OUTCOME, {**ASKED, "status": "ok"}),
        )
    )
    page = remit("journal", "why", CALL, "--home", str(kept.home)).stdout
    assert "result       done" in page
    assert "denied" not in page
    assert page.count("2026-11-20") == 1 + 3
    refused = remit("journal", "why", "call_never", "--home", str(kept.home), check=False)
    assert "has no call" in refused.stderr


def test_what_was_kept_back_of_a_result_is_told_by_rule_and_count() -> None:
    path = "messages[].body"
    redacted = [{"path": path, "rule": "O01", "what": "payment_cards", "count": 2}]
    altered = [{"path": path, "what": "links", "count": 3}]
    body = {"tool": "x", "status": "ok", "obligations": ["O01"], "redacted": redacted, "altered": altered}
    telling = "\n".join(why(told((CALL, Kind.INTENT, {**ASKED, "effect": "read"}), (CALL, Kind.OUTCOME, body))))
    assert "O01 kept back payment_cards in messages[].body, 2 in all" in telling
    assert "presented with care (links, 3) in messages[].body" in telling
    assert "obligations =" not in telling
