"""What a summary needs, and nothing else."""

from collections.abc import Sequence

from orchestrator.grants import Task

_READING = (
    "crm_search_contacts",
    "crm_get_orders",
    "crm_list_deals",
    "ticket_search_tickets",
    "knowledge_search_documents",
)


def summary_task(account_id: str, mailbox: str, documents: Sequence[str]) -> Task:
    """An account is read, and one note is logged with it; nobody is written to."""
    named = [each for each in documents if each]
    targets = {
        **{name: {"account_id": [account_id]} for name in ("crm_get_account", "crm_log_activity")},
        **{name: {"account_id": [account_id]} for name in ("crm_get_orders", "crm_list_deals")},
        "email_search_messages": {"mailbox": [mailbox]},
    }
    reads = ("crm_get_account", "email_search_messages", *_READING, *(["knowledge_get_document"] if named else []))
    return Task(
        request=f"Sum up the week of account {account_id} from its records and {mailbox}, and log a note about it.",
        tools=(*reads, "crm_log_activity"),
        limits={"crm_log_activity": 1},
        targets=targets | ({"knowledge_get_document": {"document_id": named}} if named else {}),
    )
