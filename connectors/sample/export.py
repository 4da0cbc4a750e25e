"""Writing the sample company as files that people can open and that the importers read."""

import csv
import json
import re
from collections.abc import Iterable
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from itertools import groupby
from pathlib import Path

from connectors.records import ContactRecord, DocumentRecord, MessageRecord, TicketRecord
from connectors.sample.company import Company

_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)
_CONTACT = ("name", "email", "phone", "title", "language", "company", "notes", "created_at", "updated_at")


def export(company: Company, folder: Path) -> None:
    """Write `mail/<mailbox>.mbox`, `contacts.csv`, `tickets.jsonl` and `knowledge/*.md`.

    Args:
        company: What to write.
        folder: Where to; it is made if it is missing, and files of an earlier export are replaced.

    Raises:
        OSError: If the folder cannot be written.
    """
    for part in ("mail", "knowledge"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ordered = sorted(company.messages, key=lambda message: message.mailbox)
    for mailbox, messages in groupby(ordered, key=lambda message: message.mailbox):
        (folder / "mail" / f"{mailbox}.mbox").write_bytes(b"".join(map(_mbox_entry, messages)))
    names = {account.source_id: account.name for account in company.accounts}
    _write_contacts(company.contacts, names, folder / "contacts.csv")
    (folder / "tickets.jsonl").write_text("".join(map(_ticket_line, company.tickets)), "utf-8")
    for document in company.documents:
        (folder / "knowledge" / document.source).write_text(_markdown(document), "utf-8")


def _mbox_entry(message: MessageRecord) -> bytes:
    """One message in the mboxrd form, with the labels that Gmail's export uses for folder and unread."""
    raw = message.raw.replace(b"\r\n", b"\n")
    at = parsedate_to_datetime(message_from_bytes(raw)["Date"])
    labels = [message.folder.capitalize(), *(["Unread"] if message.unread else [])]
    head = f"From remit@localhost {at:%a %b %d %H:%M:%S %Y}\nX-Gmail-Labels: {','.join(labels)}\n"
    return head.encode() + _FROM_LINE.sub(rb">\1", raw).rstrip(b"\n") + b"\n\n"


def _write_contacts(contacts: Iterable[ContactRecord], accounts: dict[str, str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, _CONTACT)
        rows.writeheader()
        for contact in contacts:
            fields = contact.model_dump(mode="json", exclude={"source_id", "account"})
            rows.writerow({**fields, "company": accounts[contact.account]})


def _ticket_line(ticket: TicketRecord) -> str:
    fields = ticket.model_dump(mode="json")
    return json.dumps({"id": fields.pop("source_id"), **fields}, ensure_ascii=False) + "\n"


def _markdown(document: DocumentRecord) -> str:
    front = {
        "title": document.title,
        "updated": f"{document.updated_at:%Y-%m-%d}",
        "origin": document.origin,
        "readers": ", ".join(document.readers),
    }
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in front.items()) + f"---\n{document.text}"
