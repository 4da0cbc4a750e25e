"""What triage of one item needs, and nothing else: the workflow's own words, tools, limits and targets."""

from orchestrator.grants import Task
from orchestrator.workflows.triage.items import Item

READING = (
    "crm_search_contacts",
    "crm_get_account",
    "crm_get_orders",
    "knowledge_search_documents",
    "ticket_search_tickets",
)
"""What the model may look things up with. It writes nothing itself: the workflow does, from what it found."""
_TRIES = 3
"""How often a write may be called: once, and again after a conflict or a mistake."""


def triage_task(item: Item, *, replies: bool = False) -> Task:
    """The task of triaging an item: it may be read, looked up, and prepared for a person; nothing else is touched.

    Args:
        item: The item.
        replies: Whether it may also be answered, as far as people and policy let it.
    """
    reads, whole = item.read_with
    if item.kind == "ticket":
        words, writes = (
            "update its status, priority and tags, and leave a note",
            ["ticket_update_ticket", "ticket_add_note"],
        )
        answers, fixed = "ticket_add_reply", {"ticket_id": [item.id]}
    else:
        words, writes = "draft an answer to the sender of its latest message", ["email_create_draft"]
        answers, fixed = "email_reply_message", {"mailbox": [whole["mailbox"]]}
    words += "; answer it as far as people let you" if replies else "; send nothing"
    writes += [answers] if replies else []
    return Task(
        request=f"Triage the {item.kind} {item.id}: find the customer and what the documents say, {words}.",
        tools=(reads, *READING, *writes),
        limits=dict.fromkeys(writes, _TRIES),
        targets={reads: {name: [value] for name, value in whole.items()}, **dict.fromkeys(writes, fixed)},
    )
