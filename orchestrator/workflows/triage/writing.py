"""What triage writes, made from an item and the findings about it: plain functions from data to arguments."""

from typing import Any

from orchestrator.workflows.triage.report import Found, Triage

PRIORITIES = ("low", "normal", "high", "urgent")
_SUBJECT = 190


def case_of(triage: Triage) -> dict[str, Any]:
    """Why something is to be done, for whoever approves it."""
    return {
        "recommendation": f"{triage.recommended_action}: {triage.next_step}",
        "evidence": [f"{each.record_id}: {each.quote}" for each in triage.evidence],
        "confidence": triage.confidence,
        "risk": triage.risk,
        "alternatives": triage.alternatives,
    }


def sorting(ticket: dict[str, Any], triage: Triage) -> dict[str, Any]:
    """Open a ticket, never lower its priority, and add what it is about to its tags."""
    needs_person = {"needs-person"} if triage.recommended_action == "escalate" else set()
    return {
        "ticket_id": ticket["id"],
        "version": ticket["version"],
        "status": "open",
        "priority": max(ticket["priority"], triage.priority, key=PRIORITIES.index),
        "tags": sorted({*ticket["tags"], triage.intent.replace("_", "-")} | needs_person),
    }


def note(ticket: dict[str, Any], found: Found, reply: str = "") -> dict[str, Any]:
    """Tell colleagues what was found, with a proposed reply if there is one."""
    triage, who = found.triage, found.customer or "not in the CRM"
    known = f"{who} ({triage.customer_id})" if triage.customer_id else who
    lines = [
        f"Intent: {triage.intent}, {triage.confidence:.0%} sure. Customer: {known}.",
        triage.summary,
        triage.next_step,
    ]
    if found.stopped:
        lines = [f"Automatic triage gave up on this ticket. Please take over. {triage.next_step}"]
    body = "\n".join(line for line in lines if line)
    return {"ticket_id": ticket["id"], "body": f"{body}\n\nProposed reply:\n\n{reply}" if reply else body}


def answer(ticket: dict[str, Any], reply: str) -> dict[str, Any]:
    """Answer a ticket's requester."""
    return {"ticket_id": ticket["id"], "body": reply}


def draft(thread: dict[str, Any], reply: str) -> dict[str, Any]:
    """Draft an answer to the sender of a conversation's latest message, and to nobody else."""
    latest, subject = _latest(thread), thread["subject"][:_SUBJECT]
    return {
        "mailbox": thread["mailbox"],
        "to": [latest["sender_email"]],
        "subject": subject if subject.lower().startswith("re:") else f"Re: {subject}",
        "body": reply,
        "in_reply_to": latest["id"],
    }


def response(thread: dict[str, Any], reply: str) -> dict[str, Any]:
    """Send an answer to the sender of a conversation's latest message."""
    return {"mailbox": thread["mailbox"], "message_id": _latest(thread)["id"], "body": reply}


def _latest(thread: dict[str, Any]) -> dict[str, Any]:
    inbound = [each for each in thread["messages"] if each["folder"] != "sent"] or thread["messages"]
    latest: dict[str, Any] = inbound[-1]
    return latest
