"""A company's own documents in a PostgreSQL table or view, found by its full text search.

Nothing is copied: each question is one read-only transaction, so what was changed, deleted or closed to a caller is so
at once. Who may read a row is a column of groups, row-level security, or both.
"""

import json
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator
from sqlalchemy import URL, Connection, Engine, RowMapping, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from structlog import get_logger

from connectors.contract import CallContext
from connectors.credentials import Access, Credentials
from connectors.embedded.engine import database_url, make_engine, reason
from connectors.embedded.pages import Position, decode_cursor, encode_cursor, not_a_cursor
from connectors.errors import InvalidInput, NotFound, Unavailable
from connectors.knowledge.chunks import Chunk, split
from connectors.knowledge.postgres_query import Statements, Table, parties_of
from connectors.knowledge.ranking import terms
from connectors.knowledge.source import OwnThreads
from connectors.knowledge.tools import (
    MAX_DOCUMENT_READ,
    Document,
    GetDocument,
    Passage,
    PassagePage,
    SearchKnowledge,
)
from connectors.vendor.kinds import Declared, Kind, Surroundings

T = TypeVar("T")

_log = get_logger()

_AT_ONCE = 8
_REFUSED = ("password authentication failed", "authentication failed", "role ", "no password supplied")
# Nothing is changed, times are in UTC, and no schema of the company's own stands before the system's functions.
_OPTIONS = "-c default_transaction_read_only=on -c TimeZone=UTC -c search_path=pg_catalog"


def _without_secret(url: str) -> str:
    found = database_url(url)
    if found.get_backend_name() != "postgresql":
        raise ValueError("must be `postgresql://HOST/DATABASE`")
    if found.username or found.password:
        raise ValueError("leave user and password out; keep them with `remit credentials set`")
    return url


class PostgresText(Declared):
    """A table or view of documents.

    Args:
        url: `postgresql://HOST/DATABASE`, without user and password.
        table: Which one, and what its columns hold.
        seconds: How long one answer may take.
    """

    kind: Literal["postgres_text"] = "postgres_text"
    url: Annotated[str, AfterValidator(_without_secret)]
    table: Table
    seconds: float = 10.0


class PostgresTextKnowledge:
    """`Knowledge` over a table. A document is answered by its best passage.

    Args:
        declared: Which table.
        credentials: Where the user and password are.
    """

    def __init__(self, declared: PostgresText, credentials: Credentials) -> None:
        self._declared = declared
        self._credentials = credentials
        self._ask = Statements(declared.table)
        # The server is told to give up first: it says better why.
        self._threads = OwnThreads("the documents' database", 2 * declared.seconds, _AT_ONCE)
        self._engine: tuple[Access, Engine] | None = None

    async def knowledge_search_documents(self, call: CallContext, args: SearchKnowledge) -> PassagePage:
        after = _position(args.cursor) if args.cursor else []
        said = terms(args.query)
        if not said or not self._may_read_anything(call):
            return PassagePage(passages=[])
        parameters = {
            **parties_of(call.readers),
            **dict(zip(("score", "at", "id"), after, strict=False)),
            "words": [term.word for term in said],
            "prefixes": [term.is_prefix for term in said],
            "origin": args.origin,
            "language": self._declared.table.language,
            "limit": args.limit + 1,
        }
        statement = self._ask.search(len(call.readers), of_origin=args.origin is not None, after=bool(after))

        def search(connection: Connection) -> PassagePage:
            rows = connection.execute(statement, parameters).mappings().all()
            page, last = rows[: args.limit], rows[min(args.limit, len(rows)) - 1] if rows else None
            cursor = encode_cursor([last["score"], last["at"].isoformat(), last["id"]]) if last else ""
            best = self._best_passages(connection, [row["text"] for row in page], parameters)
            return PassagePage(
                passages=[_passage(row, chunk) for row, chunk in zip(page, best, strict=True)],
                next_cursor=cursor if len(rows) > args.limit else "",
            )

        return await self._run(call, search)

    async def knowledge_get_document(self, call: CallContext, args: GetDocument) -> Document:
        def get(connection: Connection) -> list[RowMapping]:
            parameters = {**parties_of(call.readers), "id": args.document_id, "offset": args.offset}
            return list(connection.execute(self._ask.get(len(call.readers)), parameters).mappings())

        rows = await self._run(call, get) if self._may_read_anything(call) else []
        if len(rows) != 1:
            raise NotFound(f"there is no document `{args.document_id}`; search for it first", field="document_id")
        row, end = rows[0], args.offset + MAX_DOCUMENT_READ
        if args.offset >= max(row["length"], 1):
            told = f"offset {args.offset} is beyond the document's {row['length']} characters"
            raise InvalidInput(told, field="offset")
        more = end if end < row["length"] else None
        return Document(id=args.document_id, **_described(row), text=row["text"], offset=args.offset, next_offset=more)

    async def look(self, call: CallContext) -> str:
        """Say what is there.

        Raises:
            Unavailable: If it cannot be read, or a column is missing.
        """

        def look(connection: Connection) -> str:
            parameters = {**parties_of([frozenset()]), "language": self._declared.table.language}
            count = connection.execute(self._ask.look, parameters).one()[0]
            version, user = connection.execute(text("SELECT current_setting('server_version'), current_user")).one()
            rows = "row-level security" if self._declared.table.setting else f"{count:,} documents"
            return f"PostgreSQL {version}, as `{user}`; `{self._declared.table.name}` is there, with {rows}"

        return await self._run(call, look)

    async def close(self) -> None:
        await self._threads.close()
        if self._engine:
            self._engine[1].dispose()

    def _may_read_anything(self, call: CallContext) -> bool:
        return call.tenant == self._declared.tenant and bool(call.readers) and all(call.readers)

    def _best_passages(self, connection: Connection, texts: list[str], parameters: dict[str, Any]) -> list[Chunk]:
        parts = [(number, chunk) for number, said in enumerate(texts) for chunk in split(said)]
        if not parts:
            return []
        of, said = [number for number, _ in parts], [f"{chunk.heading}\n{chunk.text}" for _, chunk in parts]
        found = connection.execute(self._ask.best_passages, {**parameters, "of": of, "texts": said})
        return [parts[number - 1][1] for (number,) in found]

    async def _run(self, call: CallContext, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, in which row-level security knows who acts.

        Raises:
            Unavailable: If the database does not answer, or refuses it.
        """
        access = await self._credentials.of(self._declared.shown, self._declared.tenant)
        try:
            return await self._threads.run(lambda: self._within(access, call, work))
        except DBAPIError as error:
            told = reason(error)
            if not any(each in told for each in _REFUSED):
                raise self._unavailable(access, error) from error
            other = await self._credentials.refused(access)
            if other is None:
                raise Unavailable("the documents' database refused the credential") from error
        try:
            return await self._threads.run(lambda: self._within(other, call, work))
        except DBAPIError as error:
            raise self._unavailable(other, error) from error

    def _unavailable(self, access: Access, error: DBAPIError) -> Unavailable:
        if isinstance(error, OperationalError):  # it names hosts, which callers need not know
            _log.warning(
                "documents' database does not answer", tenant=self._declared.tenant, reason=access.hide(reason(error))
            )
            return Unavailable("the documents' database does not answer now; repeat the call later")
        return Unavailable(f"the documents' database cannot be asked: {access.hide(reason(error))}")

    def _within(self, access: Access, call: CallContext, work: Callable[[Connection], T]) -> T:
        try:
            with self._connected(access).connect() as connection, connection.begin():
                self._say_who_acts(connection, call)
                return work(connection)
        except NoConnectionFree as error:
            raise Unavailable("the documents' database is busy; repeat the call later") from error

    def _say_who_acts(self, connection: Connection, call: CallContext) -> None:
        table = self._declared.table
        if table.setting is None:
            return
        groups = json.dumps([sorted(party) for party in call.readers])
        connection.execute(
            text("SELECT set_config(:setting, :groups, true)"), {"setting": table.setting, "groups": groups}
        )
        holds = text("SELECT row_security_active(CAST(:name AS regclass))")
        if not connection.execute(holds, {"name": table.quoted}).scalar():
            raise Unavailable(
                f"row-level security of `{table.name}` does not hold for `{connection.engine.url.username}`; "
                "nothing is answered from it until it does"
            )

    def _connected(self, access: Access) -> Engine:
        """The engine that shows this credential; another one's is given up."""
        if self._engine is None or self._engine[0].version != access.version:
            if self._engine:
                self._engine[1].dispose()
            self._engine = access, make_engine(url_for(self._declared.url, access), patience=self._declared.seconds)
        return self._engine[1]


def url_for(declared: str, access: Access) -> URL:
    """How to connect: by TLS, and only to whom the host's name belongs, unless it is this machine or said otherwise.

    Args:
        declared: The URL without a user.
        access: The user and the password.
    """
    url = database_url(declared).set(username=access.user, password=access.secret.get_secret_value())
    query = dict(url.query)
    query["options"] = f"{_OPTIONS} {query.get('options', '')}".strip()
    if not _is_here(url) and "sslmode" not in query:
        query |= {"sslmode": "verify-full", "sslrootcert": query.get("sslrootcert", "system")}
    return url.set(query=query)


def _is_here(url: URL) -> bool:
    host = url.host or str(url.query.get("host", ""))
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _position(cursor: str) -> Position:
    found = decode_cursor(cursor, (float, str, str))
    try:
        datetime.fromisoformat(str(found[1]))
    except ValueError:
        raise not_a_cursor() from None
    return found


def _passage(row: RowMapping, chunk: Chunk) -> Passage:
    shown = _described(row)
    return Passage(document_id=row["id"], heading=chunk.heading, text=chunk.text, score=row["score"], **shown)


def _described(row: RowMapping) -> dict[str, Any]:
    title = " ".join(row["title"].split())[:200]
    shown = {name: row[name] for name in ("source", "origin", "readers")}
    return {**shown, "title": title, "updated_at": row["at"]}


def _make(declared: PostgresText, surroundings: Surroundings) -> PostgresTextKnowledge:
    return PostgresTextKnowledge(declared, surroundings.credentials)


KIND = Kind("postgres_text", "knowledge", PostgresText, _make, shows=("password",))
