"""How Tryton is spoken to: JSON-RPC under a session, values spelled its way, and its refusals in our words."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, ValidationError

from connectors.contract import CallContext
from connectors.credentials import Access, Credentials
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, Unavailable
from connectors.vendor.api import Api, Reply, segment
from connectors.vendor.site import Site


class Readable(BaseModel):
    """What is read of a record."""

    model_config = ConfigDict(extra="allow", frozen=True)
    FIELDS: ClassVar[tuple[str, ...]] = ()

    id: int


R = TypeVar("R", bound=Readable)
Domain = list[Any]
"""A condition in Tryton's form: clauses of which all hold, or, with `OR` in front, one."""

_LONGEST_WORDS = 300
_MOMENT = ("year", "month", "day", "hour", "minute", "second", "microsecond")


class _Answer(BaseModel):
    """Either what a method gave, or the parts of the exception that it raised."""

    result: Any = None
    error: list[Any] | None = None


class Sessions:
    """Shows the session that a user and password begin in place of these: Tryton takes long to check a password.

    Args:
        door: Where a session is begun.
        database: Tryton's name of it.
        credentials: Whose users and passwords.
    """

    def __init__(self, door: Api, database: str, credentials: Credentials) -> None:
        self._door = door
        self._path = f"/{segment(database)}/rpc/?common.db.login"
        self._credentials = credentials
        self._begun: dict[tuple[str, str | None], tuple[int, Access]] = {}
        self._one = anyio.Lock()

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        """See `Credentials`."""
        own = await self._credentials.of(back_end, tenant, person)
        async with self._one:
            version, session = self._begun.get((tenant, own.person), (None, None))
            if session is None or version != own.version:
                session = await self._begin(own)
                self._begun[tenant, own.person] = own.version, session
        return session

    async def refused(self, access: Access) -> Access | None:
        """See `Credentials`. A session ends when it was not used for some minutes: begin another."""
        async with self._one:
            _, session = self._begun.get((access.tenant, access.person), (None, None))
            if session is not None and session.secret == access.secret:
                del self._begun[access.tenant, access.person]
        return await self.of(access.back_end, access.tenant, access.person)

    async def _begin(self, own: Access) -> Access:
        call = CallContext(own.tenant, "", "login", datetime.now(UTC), person=own.person)
        login = {
            "id": 1,
            "method": "common.db.login",
            "params": [own.user, {"password": own.secret.get_secret_value()}],
        }
        answer = (await self._door.read(call, "POST", self._path, json=login)).as_(_Answer)
        match answer.result:
            case [int(user), str(session), *_]:
                shown = b64encode(f"{own.user}:{user}:{session}".encode()).decode()
                return Access(own.back_end, own.tenant, own.person, own.version, SecretStr(shown))
        raise Unavailable(f"Tryton begins no session for `{own.user}`; nothing was done")


class Rpc:
    """The methods of one database's models.

    Args:
        site: Where Tryton is.
        database: Tryton's name of it.
        credentials: Whose users and passwords.
    """

    def __init__(self, site: Site, database: str, credentials: Credentials) -> None:
        self._door = Api(site, credentials)
        self._sessions = Sessions(self._door, database, credentials)
        self._api = Api(replace(site, before="Session "), self._sessions)
        self._path = f"/{segment(database)}/rpc/"

    async def search(
        self,
        call: CallContext,
        model: str,
        row: type[R],
        domain: Domain,
        *,
        limit: int | None = None,
        order: Sequence[tuple[str, str]] = (),
        more: Sequence[str] = (),
    ) -> list[R]:
        """The rows that a condition holds for.

        Args:
            call: In whose name.
            model: Such as `party.party`.
            row: What to read: its `FIELDS`.
            domain: The condition.
            limit: How many at most.
            order: Names and `ASC` or `DESC`; none for Tryton's own.
            more: Further fields.
        """
        fields = [*row.FIELDS, *more]
        params = [domain, 0, limit, [list(part) for part in order] or None, fields]
        found = await self.read(call, f"{model}.search_read", *params)
        try:
            return TypeAdapter(list[row]).validate_python(found)  # type: ignore[valid-type]
        except ValidationError:
            raise Unavailable(f"Tryton answers what makes no sense as `{model}`") from None

    async def read(self, call: CallContext, method: str, *params: object) -> Any:  # noqa: ANN401 - JSON data
        """What a method gives that changes nothing."""
        reply = await self._api.read(call, "POST", *self._request(method), json=_call(method, params, {}))
        return _result(reply, Unavailable)

    async def act(
        self, call: CallContext, method: str, *params: object, unchanged: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401 - JSON data
        """What a method gives that changes something, all of it or nothing.

        Args:
            call: In whose name.
            method: Such as `party.party.write`.
            params: What it takes.
            unchanged: The time stamps that records must still have, such as those of `party.party,42`.

        Raises:
            Conflict: If one of the records was changed.
            InvalidInput: If Tryton says no.
            InDoubt: If nobody knows whether it was done.
        """
        context = {"_timestamp": dict(unchanged)} if unchanged else {}
        reply = await self._api.act(call, "POST", *self._request(method), json=_call(method, params, context))
        return _result(reply, InDoubt)

    async def version(self, call: CallContext) -> str:
        """Which Tryton it is."""
        asked = {"id": 1, "method": "common.server.version", "params": []}
        return str((await self._door.read(call, "POST", "/rpc/", json=asked)).as_(_Answer).result)

    async def close(self) -> None:
        """Close the connections."""
        await self._door.close()
        await self._api.close()

    def _request(self, method: str) -> tuple[str]:
        # The method is repeated in the query, where Tryton does not look: so the logs on the way say what was asked.
        return (f"{self._path}?{method}",)


def containing(text: str) -> str:
    """A text as the pattern for `ilike` that finds it anywhere, its own wildcards as plain characters."""
    return f"%{exactly(text)}%"


def exactly(text: str) -> str:
    """A text as the pattern for `ilike` that finds it in any case, its own wildcards as plain characters."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def spelled(value: Any) -> Any:  # noqa: ANN401 - JSON data
    """A value as Tryton's JSON has it."""
    match value:
        case datetime():
            at = value.astimezone(UTC)
            return {"__class__": "datetime", **{name: getattr(at, name) for name in _MOMENT}}
        case date():
            return {"__class__": "date", **{name: getattr(value, name) for name in _MOMENT[:3]}}
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case dict():
            return {name: spelled(part) for name, part in value.items()}
        case list() | tuple():
            return [spelled(part) for part in value]
    return value


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON data
    """A value out of Tryton's JSON; its times are UTC.

    Raises:
        ValueError: If it is none.
    """
    match value:
        case {"__class__": "datetime"}:
            return datetime(*(value[name] for name in _MOMENT)).replace(tzinfo=UTC)  # noqa: DTZ001 - its times are UTC
        case {"__class__": "date"}:
            return date(*(value[name] for name in _MOMENT[:3]))
        case {"__class__": "Decimal", "decimal": str(digits)}:
            return Decimal(digits)
        case dict():
            return {name: plain(part) for name, part in value.items()}
        case list():
            return [plain(part) for part in value]
    return value


def _call(method: str, params: Sequence[object], context: Mapping[str, object]) -> dict[str, Any]:
    return {"id": 1, "method": f"model.{method}", "params": [*spelled(list(params)), context]}


def _result(reply: Reply, failed: type[ConnectorError]) -> Any:  # noqa: ANN401 - JSON data
    answer = reply.as_(_Answer)
    match answer.error:
        case None:
            try:
                return plain(answer.result)
            except (ValueError, TypeError, ArithmeticError):
                raise reply.doubt from None
        case ["ConcurrencyException", *_]:
            raise Conflict("it was changed by somebody else; read it again, then decide", field="version")
        case ["UserError" | "UserWarning", [*words]]:
            raise InvalidInput(f"Tryton refuses it: {_words(words)}", is_untrusted=True)
    # The trace that comes with it says too much.
    raise failed(f"Tryton failed at it: {_words(answer.error[:1])}", is_untrusted=True)


def _words(told: Sequence[object]) -> str:
    return " ".join(" ".join(word for word in told if isinstance(word, str)).split())[:_LONGEST_WORDS]
