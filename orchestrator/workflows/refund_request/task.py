"""What a refund request needs, and nothing else."""

from orchestrator.grants import Task
from orchestrator.workflows.blocks import Incoming

_READING = ("crm_search_contacts", "crm_get_account", "crm_get_orders", "knowledge_search_documents")


def refund_task(given: Incoming) -> Task:
    """One refund at most, an answer to whoever asked, and the ticket's own state."""
    reads, whole = given.reading
    answers = ("ticket_add_reply",) if given.ticket_id else ("email_create_draft", "email_reply_message")
    notes = ("ticket_update_ticket", "ticket_add_note") if given.ticket_id else ()
    fixed = {"ticket_id": [given.ticket_id]} if given.ticket_id else {"mailbox": [given.mailbox]}
    return Task(
        request=f"Refund what {' '.join(whole.values())} asks for, if the rules allow it; answer and sort it.",
        tools=(reads, *_READING, "crm_issue_refund", *answers, *notes),
        limits={"crm_issue_refund": 1, **dict.fromkeys(answers, 1), **dict.fromkeys(notes, 2)},
        targets={reads: {name: [value] for name, value in whole.items()}, **dict.fromkeys((*answers, *notes), fixed)},
    )
