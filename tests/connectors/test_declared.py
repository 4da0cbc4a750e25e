"""What an operator declares of back ends: read strictly, made once, and serving one tenant alone."""

from pathlib import Path
from typing import Literal

import pytest

from connectors.contract import CallContext
from connectors.credentials import NoCredentials
from connectors.declared import open_declared, read_declared
from connectors.embedded.database import Database
from connectors.registry import TOOLS, embedded
from connectors.ticketing.tools import SearchTickets, TicketPage
from connectors.toml_files import BadFile
from connectors.vendor.kinds import Declared, Kind, Surroundings, Url
from tests.sqlite import ready_company

TOOL = {tool.name: tool for tool in TOOLS}


class DeskDeclared(Declared):
    kind: Literal["desk"] = "desk"
    url: Url
    queue: str = "General"


class CardsDeclared(Declared):
    kind: Literal["cards"] = "cards"


class Desk:
    """A help desk that can only be searched."""

    def __init__(self, declared: DeskDeclared) -> None:
        self.declared = declared
        self.is_closed = False

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        raise NotImplementedError

    async def look(self, call: CallContext) -> str:
        return f"the desk of {call.tenant}"

    async def close(self) -> None:
        self.is_closed = True


DESK = Kind("desk", "ticket", DeskDeclared, lambda declared, _surroundings: Desk(declared))
CARDS = Kind("cards", "crm", CardsDeclared, lambda declared, _surroundings: Desk(declared))
KINDS = (DESK, CARDS)
GOOD = '[[back_end]]\ntenant = "larkspur"\nkind = "desk"\nurl = "https://desk.example/rest/"\n'


def file(folder: Path, text: str) -> Path:
    path = folder / "back_ends.toml"
    path.write_text(text)
    return path


def test_without_a_file_nothing_is_declared(tmp_path: Path) -> None:
    assert read_declared(tmp_path / "back_ends.toml", KINDS) == ()


def test_what_is_declared_is_read_into_the_kinds_own_form(tmp_path: Path) -> None:
    (found,) = read_declared(file(tmp_path, GOOD), KINDS)
    assert found == DeskDeclared(tenant="larkspur", url="https://desk.example/rest")
    assert found.shown == "desk"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[back_end]", "back_ends.toml: "),
        (
            GOOD.replace("queue", "que") + 'que = "x"\n',
            ":5: `back_end.0.desk.que`: unknown field — did you mean `queue`?",
        ),
        (GOOD.replace("https", "http"), ":4: `back_end.0.desk.url`: must be `https`, or a loopback address"),
        (GOOD.replace('url = "https://desk.example/rest/"\n', ""), "`back_end.0.desk.url`: missing"),
        (GOOD.replace('"desk"', '"dsek"'), "'desk', 'cards'"),
        (GOOD + GOOD, "`larkspur` has 2 back ends for `ticket`; leave one"),
        (GOOD + 'credential = "../x"\n', "`back_end.0.desk.credential`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile) as raised:
        read_declared(file(tmp_path, text), KINDS)
    assert told in str(raised.value)


async def test_a_declared_back_end_serves_its_tenant_alone_with_the_tools_that_it_has(tmp_path: Path) -> None:
    database = Database(ready_company(tmp_path / "company.db"))
    found = read_declared(file(tmp_path, GOOD), KINDS)
    async with open_declared(found, Surroundings(NoCredentials(), database), KINDS) as declared:
        back_ends = embedded(database, declared=declared)
        desk = back_ends.of("larkspur", "ticket")
        assert isinstance(desk, Desk)
        assert back_ends.of("borealis", "ticket") is back_ends.ticket
        assert back_ends.of("larkspur", "crm") is back_ends.crm
        assert back_ends.offers("larkspur", TOOL["ticket_search_tickets"])
        assert not back_ends.offers("larkspur", TOOL["ticket_add_reply"])
        assert back_ends.offers("borealis", TOOL["ticket_add_reply"])
        assert not desk.is_closed
    assert desk.is_closed
    database.close()
