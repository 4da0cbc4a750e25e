"""Who works at Larkspur, and who its customers are."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from connectors.fields import Currency, Language
from connectors.records import AccountRecord, ContactRecord
from connectors.sample.words import Writer, bank

DOMAIN = "larkspur.example"
CONTACTS = 600

_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_OTHER = str.maketrans({"ł": "l", "ø": "o", "ß": "ss"})
_LEGAL = {"gmbh", "co", "kg", "ag", "ltd", "plc", "inc", "llc", "sas", "sa", "srl", "spa", "bv", "ua", "ab", "sp", "z"}
_LEGAL |= {"oo", "eg", "sl", "reggenmbh"}


@dataclass(frozen=True)
class Colleague:
    """Someone at Larkspur; `role` is support, lead, sales, auditor, finance, laboratory or warehouse."""

    name: str
    role: str
    languages: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.name.split()[0]

    @property
    def email(self) -> str:
        return f"{slug(self.name, '.')}@{DOMAIN}"


@dataclass(frozen=True)
class Customer:
    """An account with its people and what follows from its country."""

    account: AccountRecord
    contacts: tuple[ContactRecord, ...]
    language: Language
    currency: Currency
    town: str
    towns: tuple[str, ...]


@cache
def colleagues() -> tuple[Colleague, ...]:
    """Everybody at Larkspur who appears in the data."""
    return tuple(Colleague(one["name"], one["role"], tuple(one["languages"])) for one in bank("places")["staff"])


def speaking(language: str, *roles: str) -> tuple[Colleague, ...]:
    """Colleagues of these roles who write that language; never none."""
    able = tuple(one for one in colleagues() if one.role in roles and language in one.languages)
    return able or tuple(one for one in colleagues() if one.role in roles)


def with_role(role: str) -> Colleague:
    """The first colleague with a role."""
    return next(one for one in colleagues() if one.role == role)


def slug(text: str, separator: str = "-", language: str = "") -> str:
    """A name as it appears in addresses: ASCII, lower case."""
    lower = text.lower().translate(_GERMAN if language == "de" else _OTHER)
    plain = unicodedata.normalize("NFKD", lower).encode("ascii", "ignore").decode()
    words = "".join(char if char.isalnum() or char.isspace() or char == "-" else "" for char in plain)
    return separator.join(words.replace("-", " ").split())


def customers(rng: Random, now: datetime) -> tuple[Customer, ...]:
    """About 200 customers with 600 contacts between them."""
    writer = Writer(rng)
    found = [
        _account(name, country, writer, now) for country in bank("places")["country"] for name in _names(country, rng)
    ]
    sizes = [1] * len(found)
    weights = [{"key": 6, "plus": 3, "standard": 1.5}[account.tier] for account, _ in found]
    for index in rng.choices(range(len(found)), weights, k=CONTACTS - len(found)):
        sizes[index] += 1
    return tuple(
        _customer(account, country, size, writer, now) for (account, country), size in zip(found, sizes, strict=True)
    )


def _names(country: Mapping[str, Any], rng: Random) -> Sequence[str]:
    every = [(proper, company) for proper in country["proper"] for company in country["companies"]]
    names = [company.replace("{n}", proper) for proper, company in rng.sample(every, len(every))]
    return names[: country["share"]]


def _account(
    named: str, country: Mapping[str, Any], writer: Writer, now: datetime
) -> tuple[AccountRecord, Mapping[str, Any]]:
    rng = writer.rng
    name, industry = named.split("|")
    words = slug(name, " ", country["language"]).split()
    while words[-1] in _LEGAL:
        words.pop()
    created = now - timedelta(days=rng.randint(420, 3300), minutes=rng.randint(0, 1400))
    owner = rng.choice(speaking(country["language"], "sales"))
    account = AccountRecord(
        source_id=f"account-{slug(name, '-', country['language'])}",
        name=name,
        domain=f"{'-'.join(words)}.example",
        industry=industry,
        country=country["name"],
        tier=rng.choices(("standard", "plus", "key"), (70, 22, 8))[0],
        status=rng.choices(("active", "prospect", "on_hold", "closed"), (84, 11, 3, 2))[0],
        owner=owner.email,
        created_at=created,
        updated_at=now - timedelta(days=rng.randint(3, 400), minutes=rng.randint(0, 1400)),
    )
    return account, country


def _customer(account: AccountRecord, country: Mapping[str, Any], size: int, writer: Writer, now: datetime) -> Customer:
    rng, language = writer.rng, country["language"]
    names = bank("places")["names"][language]
    found: dict[str, ContactRecord] = {}
    while len(found) < size:
        first, last = writer.pick(names["first"]), writer.pick(names["last"])
        email = f"{slug(first, '-', language)}.{slug(last, '', language)}@{account.domain}"
        created = account.created_at + timedelta(days=rng.randint(0, 400))
        found[email] = ContactRecord(
            source_id=f"contact-{email}",
            name=f"{first} {last}",
            email=email,
            phone="".join(str(rng.randint(0, 9)) if char == "#" else char for char in country["phone"]),
            title=writer.pick(bank("places")["titles"][language]),
            language=language,
            account=account.source_id,
            notes=_note(writer, "contact_notes", country, now) if rng.random() < 0.15 else "",
            created_at=created,
            updated_at=max(created, now - timedelta(days=rng.randint(2, 900), minutes=rng.randint(0, 1400))),
        )
    first_name = next(iter(found.values())).name.split()[0]
    notes = (
        _note(writer, "account_notes", country, now, first=first_name)
        if rng.random() < 0.5 and account.status != "prospect"
        else ""
    )
    return Customer(
        account=account.model_copy(update={"notes": notes}),
        contacts=tuple(found.values()),
        language=language,
        currency=country["currency"],
        town=rng.choice(country["towns"]),
        towns=tuple(country["towns"]),
    )


def _note(writer: Writer, kind: str, country: Mapping[str, Any], now: datetime, first: str = "") -> str:
    facts = {
        "year": now.year - writer.rng.randint(1, 8),
        "month": writer.rng.choice(bank("en")["months"]),
        "town": writer.rng.choice(country["towns"]),
        "first": first,
    }
    return writer.write(bank("internal")[kind], facts)
