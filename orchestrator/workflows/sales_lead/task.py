"""What a lead needs, and nothing else."""

from orchestrator.grants import Task

_READING = ("crm_search_contacts", "crm_get_account", "crm_list_deals")


def lead_task(mailbox: str, thread_id: str, contact_id: str) -> Task:
    """Records are read and one note is logged; in the conversation of a lead two answers are written, one later."""
    if contact_id:
        return Task(
            request=f"Look through the data of contact {contact_id}, report what is wrong, and log a note about it.",
            tools=("crm_get_contact", *_READING, "crm_log_activity"),
            limits={"crm_log_activity": 1},
            targets={name: {"contact_id": [contact_id]} for name in ("crm_get_contact", "crm_log_activity")},
        )
    answers = ("email_create_draft", "email_reply_message")
    return Task(
        request=f"Answer the lead in conversation {thread_id} of {mailbox}, log a note, and write again once later.",
        tools=("email_get_thread", *_READING, "crm_log_activity", *answers),
        limits={"crm_log_activity": 1, "email_create_draft": 2, "email_reply_message": 2},
        targets={
            "email_get_thread": {"mailbox": [mailbox], "thread_id": [thread_id]},
            **{name: {"mailbox": [mailbox]} for name in answers},
        },
    )
