"""Reading contacts: a CSV export of any CRM or address book.

A contact is known by its email address, so that the same person from two exports is one contact. A company that
contacts name becomes an account, known by its name.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from connectors.importing.source import (
    Accepted,
    Facts,
    Item,
    Likeness,
    Place,
    Refused,
    Rejected,
    Source,
    attempt,
    sentence,
)
from connectors.importing.tabular import Aliases, Table, open_table
from connectors.importing.text import signs_of, storable
from connectors.importing.timestamps import NO_ZONE, parse_moment
from connectors.records import AccountRecord, ContactRecord

STALE_AFTER = timedelta(days=2 * 365)
NO_DATE = "no date of change, the file's own taken"
OTHER_LANGUAGE = "language not offered, `en` taken"

COLUMNS: Final[Aliases] = {
    "email": (
        *("e mail", "mail", "email address", "e mail address", "mail address", "primary email", "work email"),
        *("e mail 1 value", "e mail 1 address", "correo", "correo electrónico", "courriel", "adresse e mail"),
        *(
            "e mail adresse",
            "email adresse",
            "indirizzo email",
            "e post",
            "e postadress",
            "e mailadres",
            "adres e mail",
        ),
    ),
    "name": (
        *("full name", "display name", "contact name", "contact", "contact full name", "vollständiger name"),
        *("nombre completo", "nom complet", "nome completo", "volledige naam", "imię i nazwisko", "fullständigt namn"),
        *("naam", "namn", "nome e cognome", "person"),
    ),
    "first_name": (
        *("firstname", "given name", "forename", "vorname", "nombre", "prénom", "prenom", "nome", "voornaam"),
        *("imię", "förnamn"),
    ),
    "last_name": (
        *("lastname", "surname", "family name", "nachname", "familienname", "apellido", "apellidos", "nom"),
        *("nom de famille", "cognome", "achternaam", "nazwisko", "efternamn"),
    ),
    "phone": (
        *(
            "phone number",
            "telephone",
            "tel",
            "mobile",
            "mobile phone",
            "business phone",
            "work phone",
            "phone 1 value",
        ),
        *("telefon", "telefonnummer", "teléfono", "téléphone", "telefono", "telefoon"),
    ),
    "account": (
        *("account name", "company", "company name", "organisation", "organization", "organization name", "firma"),
        *("unternehmen", "empresa", "entreprise", "société", "azienda", "bedrijf", "företag"),
    ),
    "title": (
        *("job title", "position", "role", "organization title", "funktion", "stelle", "cargo", "fonction", "ruolo"),
        *("functie", "stanowisko", "titel"),
    ),
    "language": (
        "lang",
        "locale",
        "preferred language",
        "sprache",
        "idioma",
        "langue",
        "lingua",
        "taal",
        "język",
        "språk",
    ),
    "notes": ("note", "comment", "comments", "description", "notizen", "notas", "remarques", "opmerkingen"),
    "created": (
        *("created at", "create date", "created date", "created on", "date created", "date added", "erstellt"),
        *("erstellt am", "creado", "créé le", "creato il"),
    ),
    "updated": (
        *("updated at", "modified", "modified at", "last modified", "last modified date", "last updated", "changed"),
        *("date modified", "geändert", "geändert am", "actualizado", "modifié le"),
    ),
}
EXAMPLE = "name,email,phone,company,title,language,notes,created,updated"

# What exports write for the languages that a contact can have; anything else becomes English, and is counted.
LANGUAGES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("en", "english", "englisch", "inglés", "anglais"), "en"),
    **dict.fromkeys(("de", "german", "deutsch", "allemand", "alemán"), "de"),
    **dict.fromkeys(("fr", "french", "français", "französisch", "francés"), "fr"),
    **dict.fromkeys(("es", "spanish", "español", "spanisch", "espagnol"), "es"),
    **dict.fromkeys(("it", "italian", "italiano", "italienisch", "italien"), "it"),
    **dict.fromkeys(("nl", "dutch", "nederlands", "niederländisch"), "nl"),
    **dict.fromkeys(("pl", "polish", "polski", "polnisch"), "pl"),
    **dict.fromkeys(("sv", "swedish", "svenska", "schwedisch"), "sv"),
}
_ASKED_FOR = ("name", "phone", "account", "title", "language", "updated")


def read_contacts_csv(path: Path) -> Source:
    """Open a CSV file of contacts; the only column that must be there is the email address.

    Raises:
        UnreadableSource: If it is not such a file.
    """
    table = open_table(path, COLUMNS, ("email",), EXAMPLE)
    return Source(_contacts(table), total=sum(1 for _ in table.rows()), notes=table.notes)


def _contacts(table: Table) -> Iterator[Item]:
    fallback = date_of(table.path)
    for row in table.rows():
        if isinstance(row, Rejected):
            yield row
        else:
            yield attempt(row.place, row.raw, partial(contact, row.cells, row.place, fallback))


def date_of(path: Path) -> datetime:
    """When a file was last changed: the date of what has none of its own, so that a second import changes nothing."""
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def contact(cells: Mapping[str, str], place: Place, fallback: datetime, noticed: tuple[str, ...] = ()) -> Accepted:
    """Make a contact of a row's or a card's fields.

    Args:
        cells: Values by the field names of `COLUMNS`; empty ones left out.
        place: Where they stand.
        fallback: The date of change to take when there is none.
        noticed: Signs that were seen on the way.

    Raises:
        Refused: If a date is none.
        pydantic.ValidationError: If a field is not valid.
    """
    moments = {field: parse_moment(field, cells[field]) for field in ("created", "updated") if field in cells}
    dates = [moment.at for moment in moments.values()]
    full = cells.get("name") or " ".join(cells[part] for part in ("first_name", "last_name") if part in cells)
    spoken = cells.get("language", "").casefold()
    language = LANGUAGES.get(spoken) or LANGUAGES.get(spoken[:2] if spoken[2:3] in "-_" else "")
    email = cells.get("email", "")
    account = _account(cells["account"], fallback) if "account" in cells else None
    record = ContactRecord.model_validate(
        {
            "source_id": email[:200] or "none",  # until the address is known to be one
            "name": full or email,
            "email": email,
            "phone": storable(cells.get("phone", "")),
            "title": cells.get("title", ""),
            "language": language or "en",
            "account": account.source_id if account else "",
            "notes": storable(cells.get("notes", "")),
            "created_at": min(dates, default=fallback),
            "updated_at": max(dates, default=fallback),
        }
    )
    named = {**cells, "name": full}
    signs = (
        *noticed,
        *signs_of(*cells.values()),
        *((NO_ZONE,) if not all(moment.had_zone for moment in moments.values()) else ()),
        *((OTHER_LANGUAGE,) if spoken and not language else ()),
        *(() if dates else (NO_DATE,)),
    )
    return Accepted(
        record.model_copy(update={"source_id": record.email}),
        place,
        Facts(
            missing=tuple(field for field in _ASKED_FOR if not named.get(field)),
            signs=signs,
            likenesses=(Likeness("same email, another name", record.email, unless=record.name.casefold()),),
            changed_at=record.updated_at if dates else None,
            stale_after=STALE_AFTER,
        ),
        (account,) if account else (),
    )


def _account(name: str, at: datetime) -> AccountRecord:
    """The account that a company's name stands for, with the file's date so that every contact makes the same one."""
    plain = " ".join(name.split())
    try:
        return AccountRecord(source_id=f"company:{plain.casefold()}", name=plain, created_at=at, updated_at=at)
    except ValidationError as error:
        raise Refused(sentence(error).replace("name:", "account:", 1)) from error
