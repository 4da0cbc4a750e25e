"""One connection to an IMAP server: encrypted, logged in, bounded in time and in what it takes in (RFC 9051).

Everything here blocks, so it runs on a thread (`imap_pool.py`). What a server sends is counted before it is read: no
answer, and no literal in one, can be larger than there is room for.
"""

import imaplib
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError
from imapclient.response_parser import parse_message_list

from connectors.email.imap_names import Place
from connectors.email.mail_server import Login, LoginRefused, MailServer, words_of
from connectors.errors import NotFound, Unavailable

# At level debug it tells whole messages and tokens.
logging.getLogger("imapclient").setLevel(logging.WARNING)

LARGEST_MESSAGE = 40_000_000
_ROOM = 64_000_000
_READ_SECONDS = 10

Role = Literal["inbox", "sent", "archive", "drafts"]
_SPECIAL: dict[Role, bytes] = {"sent": rb"\Sent", "archive": rb"\Archive", "drafts": rb"\Drafts"}
_USUAL: dict[Role, str] = {"inbox": "INBOX", "sent": "Sent", "archive": "Archive", "drafts": "Drafts"}


class _Bounded(imaplib.IMAP4):
    room: int = _ROOM

    def __init__(self, server: MailServer) -> None:
        self._server = server
        super().__init__(server.host, server.port)

    def _create_socket(self, _timeout: float | None) -> socket.socket:
        plain = self._server.dial()
        if not self._server.implicit:
            return plain
        return self._server.tls.wrap_socket(plain, server_hostname=self.host)

    def read(self, size: int) -> bytes:
        self._take(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._take(len(line))
        return line

    def _take(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise IMAPClientAbortError("the server sends more than there is room for")


class _Client(IMAPClient):  # type: ignore[misc]
    """IMAPClient with a bound, and with every text of a search quoted or sent as a literal."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        super().__init__(
            server.host,
            server.port,
            ssl=server.implicit,
            ssl_context=server.tls,
            timeout=SocketTimeout(_READ_SECONDS, _READ_SECONDS),
        )
        self.normalise_times = False

    def _create_IMAP4(self) -> _Bounded:  # noqa: N802 - IMAPClient's name
        return _Bounded(self._server)

    def start(self) -> None:
        """Make room for the answers to what follows."""
        self._imap.room = _ROOM

    def search_for(self, criteria: "Sequence[str | Text]") -> list[int]:
        words = [each.sent if isinstance(each, Text) else each.encode("ascii") for each in criteria]
        charset = [] if all(word.isascii() for word in words) else [b"CHARSET", b"UTF-8"]
        found = parse_message_list(self._raw_command_untagged(b"SEARCH", [*charset, *words]))
        return [uid for uid in found if isinstance(uid, int)]


@dataclass(frozen=True)
class Text:
    """A text to search for, as opposed to a word of the search language."""

    text: str

    @property
    def sent(self) -> bytes:
        """Quoted; with other characters than ASCII IMAPClient sends it as a literal."""
        if not self.text.isascii():
            return self.text.encode()
        return b'"' + self.text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


@dataclass(frozen=True)
class Opened:
    """A folder as it stands: its UIDVALIDITY, and the UID that its next message will have."""

    validity: int
    next_uid: int


@dataclass
class Session:
    """A connection that is logged in to one mailbox.

    Args:
        client: The connection.
        mailbox: The mailbox's address.
        mark: What its ids have in common.
        folders: The name of each folder that the server has.
    """

    client: _Client
    mailbox: str
    mark: str
    folders: Mapping[Role, str]
    _open: tuple[Role, Opened] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin with something else: look at folders anew, with room for the answers."""
        self.client.start()
        self._open = None

    def check(self) -> None:
        """See that the connection still stands."""
        self.client.noop()

    def open(self, role: Role, *, to_write: bool = False) -> Opened:
        """Go to a folder, by default so that reading marks nothing as read.

        Raises:
            NotFound: If the mailbox has no such folder.
        """
        found = self.client.select_folder(self._name(role), readonly=not to_write)
        opened = Opened(int(found[b"UIDVALIDITY"]), int(found.get(b"UIDNEXT", 2**32)))
        self._open = role, opened
        return opened

    @property
    def validity(self) -> int:
        """The UIDVALIDITY of the open folder."""
        return self._open[1].validity if self._open else 0

    def _name(self, role: Role) -> str:
        if role not in self.folders:
            raise NotFound(f"the mailbox has no folder for `{role}`; have one made, or named in the configuration")
        return self.folders[role]

    def go_to(self, place: Place) -> bool:
        """Go to a message's folder; False if the server has numbered it anew, or has none."""
        if place.folder not in self.folders:
            return False
        if not self._open or self._open[0] != place.folder:
            self.open(place.folder)
        return self.validity == place.validity

    def search(self, *criteria: "str | Text") -> list[int]:
        """The UIDs of the open folder's messages that meet all criteria, rising; deleted ones are none."""
        return sorted(self.client.search_for(["UNDELETED", *criteria]))

    def fetch(self, uids: Sequence[int], *items: str) -> dict[int, dict[bytes, Any]]:
        """Parts of messages of the open folder, by UID; those that are gone are left out."""
        found = self.client.fetch(list(uids), list(items)) if uids else {}
        # A server may tell of other messages as well, such as that somebody has read one.
        return {uid: found[uid] for uid in uids if uid in found}

    def listen(self, seconds: float) -> bool:
        """Wait until the server tells of something in the open folder, at most for so long; False if it never does."""
        if not self.client.has_capability("IDLE"):
            return False
        self.client.idle()
        self.client.idle_check(seconds)
        self.client.idle_done()
        return True

    def append(self, role: Role, raw: bytes, *flags: str) -> None:
        """Put a message into a folder.

        Raises:
            NotFound: If the mailbox has no such folder.
        """
        self.client.append(self._name(role), raw, flags)

    def delete(self, uids: Sequence[int]) -> None:
        """Take messages out of the folder that is open to be written."""
        if uids:
            self.client.add_flags(uids, [rb"\Deleted"], silent=True)
            self.client.uid_expunge(uids)

    def close(self) -> None:
        """End it, whatever it is doing."""
        with suppress(OSError, AttributeError):
            self.client.socket().shutdown(socket.SHUT_RDWR)
        with suppress(OSError, AttributeError):
            self.client.shutdown()


def connect(server: MailServer, login: Login, mailbox: str, mark: str, folders: Mapping[Role, str]) -> Session:
    """Connect and log in.

    Args:
        server: Where to.
        login: As whom.
        mailbox: The mailbox's address.
        mark: What its ids have in common.
        folders: The names of folders that are called otherwise than usual; the server's own marks go before habits.

    Raises:
        LoginRefused: If the server does not take the login.
        Unavailable: If it is not reached, or is not to be trusted with a password.
    """
    try:
        client = _Client(server)
    except (OSError, IMAPClientError) as error:
        raise Unavailable(f"IMAP server `{server.host}` is not reached: {error}") from error
    session = Session(client, mailbox, mark, folders)
    try:
        _encrypt(client, server)
        _log_in(client, login)
        if not client.has_capability("UIDPLUS"):
            raise Unavailable(f"IMAP server `{server.host}` lacks UIDPLUS, without which nothing is written")
        session.folders = _folders(client, folders)
    except BaseException as error:
        session.close()
        if isinstance(error, OSError | IMAPClientError):
            raise Unavailable(f"IMAP server `{server.host}` does not answer as it should: {error}") from error
        raise
    return session


def _encrypt(client: _Client, server: MailServer) -> None:
    if server.implicit:
        return
    if client.has_capability("STARTTLS"):
        client.starttls(server.tls)
    elif not server.may_be_plain:
        raise Unavailable(f"IMAP server `{server.host}` offers no STARTTLS, and a password is not sent in the clear")


def _log_in(client: _Client, login: Login) -> None:
    try:
        if login.is_token:
            client.oauth2_login(login.user, login.secret)
        elif client.has_capability("AUTH=PLAIN"):
            client.plain_login(login.user, login.secret)
        else:
            client.login(login.user, login.secret)
    except LoginError as error:
        said = words_of(login, error)
        if isinstance(error.__context__, IMAPClientAbortError) or "[UNAVAILABLE]" in said:
            raise Unavailable("the IMAP server did not answer the login") from None
        raise LoginRefused(said) from None


def _folders(client: _Client, named: Mapping[Role, str]) -> dict[Role, str]:
    there = {name: set(flags) for flags, _, name in client.list_folders()}
    found: dict[Role, str] = {}
    for role, usual in _USUAL.items():
        marked = [name for name, flags in there.items() if _SPECIAL.get(role) in flags]
        name = named.get(role) or next(iter(marked), usual)
        if name in there or name.upper() == "INBOX":
            found[role] = name
    return found
