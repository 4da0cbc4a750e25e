"""What a complaint needs, and nothing else."""

from orchestrator.grants import Task
from orchestrator.workflows.blocks import Incoming

_READING = ("crm_search_contacts", "crm_get_orders", "knowledge_search_documents")


def complaint_task(given: Incoming) -> Task:
    """It is read, sorted, briefed about, and answered once; nothing is given, changed or sent to anybody else."""
    reads, whole = given.reading
    answers = ("ticket_add_reply",) if given.ticket_id else ("email_create_draft", "email_reply_message")
    notes = ("ticket_update_ticket", "ticket_add_note") if given.ticket_id else ()
    fixed = {"ticket_id": [given.ticket_id]} if given.ticket_id else {"mailbox": [given.mailbox]}
    return Task(
        request=f"Answer the complaint {' '.join(whole.values())} after a person's yes; sort it and leave notes.",
        tools=(reads, *_READING, *answers, *notes),
        limits={**dict.fromkeys(answers, 1), **dict.fromkeys(notes, 3)},
        targets={reads: {name: [value] for name, value in whole.items()}, **dict.fromkeys((*answers, *notes), fixed)},
    )
