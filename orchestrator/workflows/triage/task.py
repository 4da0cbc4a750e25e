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


def triage_task(item: Item) -> Task:
    """The task of triaging an item: it may be read, looked up, and prepared for a person; nothing else is touched."""
    reads, whole = item.read_with
    writes: tuple[str, ...]
    if item.kind == "ticket":
        words = "update its status, priority and tags, leave a note, and answer it as far as people let it"
        writes, fixed = ("ticket_update_ticket", "ticket_add_note", "ticket_add_reply"), {"ticket_id": [item.id]}
    else:
        words = "draft an answer to the sender of its latest message, and send it only as far as people let it"
        writes, fixed = ("email_create_draft", "email_reply_message"), {"mailbox": [whole["mailbox"]]}
    return Task(
        request=f"Triage the {item.kind} {item.id}: find the customer and what the documents say, {words}.",
        tools=(reads, *READING, *writes),
        limits=dict.fromkeys(writes, _TRIES),
        targets={reads: {name: [value] for name, value in whole.items()}, **dict.fromkeys(writes, fixed)},
    )
