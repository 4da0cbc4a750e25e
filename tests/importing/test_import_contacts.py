from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.importing import Kind, UnreadableSource
from connectors.importing.contacts import read_contacts_csv
from connectors.importing.source import Accepted, Rejected
from connectors.importing.vcards import read_vcards
from connectors.records import AccountRecord, ContactRecord
from tests.importing.recorder import Imported, bring_in


async def contacts(tmp_path: Path, content: str | bytes, name: str = "contacts.csv") -> Imported:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return await bring_in(Kind.CONTACTS, path)


@pytest.mark.parametrize(
    "content",
    [
        "name,email,phone,company\nAda Byron,Ada@Mill.example,+44 1,Mill Ltd\n",
        "Full Name;E-Mail;Telefon;Firma\r\nAda Byron;ada@mill.example;+44 1;Mill Ltd\r\n",
        "First Name\tLast Name\tEmail Address\tMobile Phone\tAccount Name\n"
        "Ada\tByron\tada@mill.example\t+44 1\tMill Ltd\n",
        '\ufeffVorname,Nachname,"E-Mail-Adresse",Telefonnummer,Unternehmen\n'
        "Ada,Byron,ada@mill.example,+44 1,Mill Ltd\n",
        "Given Name,Family Name,E-mail 1 - Value,Phone 1 - Value,Organization Name\n"
        "Ada,Byron,ada@mill.example,+44 1,Mill Ltd\n",
        "prénom;nom;courriel;téléphone;société\nAda;Byron;ada@mill.example;+44 1;Mill Ltd\n",
    ],
)
async def test_a_contact_is_read_whatever_its_columns_are_called(tmp_path: Path, content: str) -> None:
    done = await contacts(tmp_path, content)
    found = done.loaded.one(ContactRecord)
    assert (found.name, found.email, found.phone) == ("Ada Byron", "ada@mill.example", "+44 1")
    assert found.source_id == "ada@mill.example"
    company = done.loaded.one(AccountRecord)
    assert (company.name, found.account) == ("Mill Ltd", company.source_id)


async def test_two_contacts_of_one_company_share_its_account_under_the_first_spelling(tmp_path: Path) -> None:
    done = await contacts(tmp_path, "email,company\na@mill.example,Mill Ltd\nb@mill.example,MILL  ltd\n")
    assert done.loaded.one(AccountRecord).name == "Mill Ltd"
    assert done.report.added == 2


async def test_dates_and_language_are_understood(tmp_path: Path) -> None:
    content = "email,created,updated,language\na@b.example,2020-01-02T03:04:05Z,1715680800,de-AT\n"
    found = (await contacts(tmp_path, content)).loaded.one(ContactRecord)
    assert found.created_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.updated_at == datetime(2024, 5, 14, 10, 0, tzinfo=UTC)
    assert found.language == "de"


async def test_text_that_is_not_utf8_is_read_as_windows_1252_and_the_report_says_so(tmp_path: Path) -> None:
    done = await contacts(tmp_path, "name,email\nJürgen Groß,j@b.example\n".encode("cp1252"))
    assert done.loaded.one(ContactRecord).name == "Jürgen Groß"
    assert done.report.notes == ["contacts.csv: not UTF-8, read as Windows-1252"]


async def test_every_bad_row_is_rejected_with_its_line_and_field_and_the_others_are_kept(tmp_path: Path) -> None:
    content = (
        "name,email,updated\n"
        "No Address,,\n"
        '"Two\nlines",two@b.example,\n'
        "Ada,not-an-address,\n"
        "Ada,ada@b.example,01/02/2024\n"
        "Ada,ada@b.example,2024-01-02,one,too,many\n"
        "\n"
        "Good,good@b.example,\n"
    )
    done = await contacts(tmp_path, content)
    assert [each.email for each in done.loaded.all(ContactRecord)] == ["good@b.example"]
    assert [(each["line"], each["reason"].partition(":")[0]) for each in done.rejects] == [
        (2, "email"),
        (3, "name"),
        (5, "email"),
        (6, "updated"),
        (7, "row"),
    ]
    assert done.rejects[2]["reason"].startswith("email: not an email address: ")
    assert done.rejects[2]["raw"] == "Ada,not-an-address,\n"


async def test_an_open_quote_costs_no_more_than_the_rows_it_swallows(tmp_path: Path) -> None:
    rows = "".join(f"n{number},n{number}@b.example\n" for number in range(8_000))
    done = await contacts(tmp_path, f'name,email\n"open,x@b.example\n{rows}')
    assert done.rejects[0]["line"] == 2
    assert "is a quote left open?" in done.rejects[0]["reason"]
    assert len(done.rejects[0]["raw"]) <= 2_000
    assert done.report.added > 500


async def test_the_same_address_twice_is_one_contact_and_another_name_is_pointed_out(tmp_path: Path) -> None:
    done = await contacts(tmp_path, "name,email\nAda,a@b.example\nAda,A@b.example\nBob,a@b.example\n")
    assert (done.report.added, done.report.duplicates) == (1, 2)
    assert {each.what: each.count for each in done.report.readiness.duplicates} == {
        "same id as an earlier one, left out": 2,
        "same email, another name": 1,
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "`contacts.csv` is empty"),
        (b"\x00\x01\x02\x03" * 50, "`contacts.csv` holds binary data; expected a text file"),
        (b"colour,size\nred,4\n", "no column for email .*colour, size.*expected a header like `name,email"),
    ],
)
async def test_what_is_no_table_of_contacts_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableSource, match=complaint):
        await contacts(tmp_path, content)


VCARDS = """BEGIN:VCARD\r
VERSION:3.0\r
N:Byron;Ada;;;\r
FN:Ada Byron\r
EMAIL;TYPE=INTERNET:old@mill.example\r
EMAIL;TYPE=INTERNET,PREF:ada@mill.example\r
TEL;TYPE=CELL:+44 1\r
ORG:Mill Ltd;Engines\r
TITLE:Count\r
 ess\r
NOTE:First line\\nSecond\\, line\r
REV:2024-01-02T03:04:05Z\r
END:VCARD\r
BEGIN:VCARD\r
VERSION:4.0\r
FN:Björn Ö\r
EMAIL;PREF=1:bjorn@b.example\r
LANG:sv\r
END:VCARD\r
BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gro=C3=9F;J=C3=BCrgen;;;
FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=BCrgen=
 Gro=C3=9F
EMAIL;INTERNET:j@b.example
END:VCARD
"""


async def test_vcards_of_every_version_are_read(tmp_path: Path) -> None:
    done = await contacts(tmp_path, VCARDS, "people.vcf")
    ada, bjorn, jurgen = done.loaded.all(ContactRecord)
    assert (ada.name, ada.email, ada.phone, ada.title) == ("Ada Byron", "ada@mill.example", "+44 1", "Countess")
    assert (ada.notes, ada.updated_at.year) == ("First line\nSecond, line", 2024)
    assert done.loaded.one(AccountRecord).name == "Mill Ltd, Engines"
    assert (bjorn.name, bjorn.language) == ("Björn Ö", "sv")
    assert jurgen.name == "Jürgen Groß"


async def test_a_broken_card_is_rejected_and_the_next_one_read(tmp_path: Path) -> None:
    content = (
        "BEGIN:VCARD\nVERSION:3.0\nFN:No Address\nEND:VCARD\n"
        "BEGIN:VCARD\nVERSION:3.0\nFN:Never Ends\nEMAIL:never@b.example\n"
        "BEGIN:VCARD\nVERSION:3.0\n;;;:::\nEND:VCARD\n"
        "BEGIN:VCARD\nVERSION:3.0\nFN:Good\nEMAIL:good@b.example\nEND:VCARD\n"
    )
    done = await contacts(tmp_path, content, "people.vcf")
    assert [each.email for each in done.loaded.all(ContactRecord)] == ["good@b.example"]
    assert [each["line"] for each in done.rejects] == [1, 5, 9]
    assert done.rejects[0]["reason"].startswith("email: ")


async def test_a_file_without_any_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"`people\.vcf` holds no vCard; expected a file that starts with"):
        await contacts(tmp_path, "hello", "people.vcf")


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["FN:A", "EMAIL:a@b.example", "N;ENCODING=QUOTED-PRINTABLE:=C3=", "PHOTO;ENCODING=b:!!", " folded", ";"]
        ),
        st.text(max_size=30),
    ),
    max_size=8,
)


@given(cards=st.lists(LINES, min_size=1, max_size=4))
def test_any_cards_are_read_or_rejected_one_for_one(
    tmp_path_factory: pytest.TempPathFactory, cards: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("cards") / "people.vcf"
    plain = [[line.replace("\n", " ").replace("\r", " ") for line in card] for card in cards]
    text = "".join("\n".join(["BEGIN:VCARD", "VERSION:3.0", *card, "END:VCARD", ""]) for card in plain)
    path.write_bytes(text.encode("utf-8", "replace"))
    assert len(list(read_vcards(path).items)) == len(cards)


@given(content=st.binary(max_size=200))
def test_any_bytes_below_a_header_are_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("table") / "contacts.csv"
    path.write_bytes(b"name,email,company,updated,notes\n" + b"Ada,ada@b.example,,,\n" * 100 + content)
    source = read_contacts_csv(path)
    items = list(source.items)
    assert len(items) == source.total
    assert all(isinstance(item, Accepted | Rejected) for item in items)
