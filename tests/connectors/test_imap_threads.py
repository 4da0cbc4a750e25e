"""Conversations over IMAP, where a server tells more than it was asked."""

from typing import Any

from connectors.email.imap_names import Place, mark_of
from connectors.email.imap_session import Session
from connectors.email.imap_threads import Conversations, read

MAILBOX = "support@larkspur.example"
HEADS = {1: b"Message-ID: <1@x>\r\n\r\n", 2: b"Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n\r\n"}


class StandIn:
    """A folder of two messages. With each that is fetched it tells that another was read (RFC 9051, section 5.2)."""

    def select_folder(self, _name: str, **_: object) -> dict[bytes, int]:
        return {b"UIDVALIDITY": 1, b"UIDNEXT": 8}

    def search_for(self, _criteria: object) -> list[int]:
        return [*HEADS]

    def fetch(self, uids: list[int], _items: object) -> dict[int, dict[bytes, Any]]:
        return {**{uid: {b"BODY[HEADER.FIELDS (MESSAGE-ID)]": HEADS[uid]} for uid in uids}, 7: {b"FLAGS": (rb"\Seen",)}}


def test_what_a_server_tells_of_other_messages_is_no_answer() -> None:
    client: Any = StandIn()
    session = Session(client, MAILBOX, mark_of("larkspur", MAILBOX), {"inbox": "INBOX"})
    session.open("inbox")
    place = Place("inbox", 1, 2)
    threads = Conversations(session).ids_of([(place, *read({b"BODY[]": HEADS[2]}))])
    assert threads[place].endswith("1")
