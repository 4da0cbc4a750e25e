"""What is wrong with a contact's data: duplicates, stale and inconsistent records. It only reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

STALE = timedelta(days=365)
_SETTLED = ("won", "lost")


@dataclass(frozen=True, slots=True)
class Records:
    """What the CRM has about somebody; `alike` may be the same person,
    and `shown` is the rest for a model.
    """

    contact: Mapping[str, Any]
    alike: Sequence[Mapping[str, Any]]
    account: Mapping[str, Any]
    deals: Sequence[Mapping[str, Any]]
    today: date
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def read(self) -> list[Any]:
        """What evidence may come from."""
        return [self.contact, self.account, self.deals]


def findings(records: Records) -> list[str]:
    """What a person should put right, each in one line with the ids that it is about."""
    return [*_duplicates(records), *_stale(records), *_inconsistent(records)]


def _duplicates(records: Records) -> Iterator[str]:
    contact = records.contact
    for each in records.alike:
        if each["id"] == contact.get("id"):
            continue
        shared = [
            name
            for name, ours in (("name", contact.get("name")), ("phone", contact.get("phone")))
            if ours and _plain(ours) == _plain(str(each.get(name, "")))
        ]
        if contact and shared:
            yield f"{contact['id']} and {each['id']} may be the same person: same {' and '.join(shared)}."
        elif not contact and _plain(each["name"]):
            yield f"The sender is not in the CRM by this address; {each['id']} has the same name."
    if not contact and not records.alike:
        yield "The sender is not in the CRM: create the contact."


def _stale(records: Records) -> Iterator[str]:
    if records.contact and _age(records.contact, records.today) > STALE:
        yield f"{records.contact['id']} was not changed for more than a year: check that it is still right."
    for deal in records.deals:
        closes = deal.get("close_date")
        if deal["stage"] not in _SETTLED and closes and date.fromisoformat(str(closes)) < records.today:
            yield f"{deal['id']} is open, and its close date {closes} is over."
        elif deal["stage"] not in _SETTLED and not deal.get("next_step"):
            yield f"{deal['id']} is open and has no next step."


def _inconsistent(records: Records) -> Iterator[str]:
    contact, account = records.contact, records.account
    if contact and not contact.get("account_id"):
        yield f"{contact['id']} belongs to no account."
    domain = str(contact.get("email", "")).rpartition("@")[2]
    if account.get("domain") and domain and not f".{domain}".endswith(f".{account['domain']}"):
        yield f"{contact['id']} has an address at {domain}, and {account['id']} is at {account['domain']}."
    if account.get("status") in ("on_hold", "closed") and any(each["stage"] not in _SETTLED for each in records.deals):
        yield f"{account['id']} is {account['status']} and has open deals."
    if account and not account.get("owner"):
        yield f"{account['id']} has no owner."


def _age(record: Mapping[str, Any], today: date) -> timedelta:
    return today - datetime.fromisoformat(str(record["updated_at"])).date()


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
