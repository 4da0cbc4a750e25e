"""How Tryton is spoken to: JSON-RPC under a session, values spelled its way, and its refusals in our words."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_origin

import anyio
from pydantic import AliasPath, BaseModel, ConfigDict, Field, SecretStr

from connectors.contract import CallContext
from connectors.credentials import Access, Credentials
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, Unavailable
from connectors.vendor.api import Api, Reply, segment
from connectors.vendor.site import Site


def at(path: str, default: Any = ...) -> Any:  # noqa: ANN401 - a field of any type
    """A field of a `Readable` that is not read under its own name.

    Args:
        path: Where it is read, such as `party.name`.
        default: What it is where there is nothing; without one, there has to be something.
    """
    return Field(default, validation_alias=AliasPath(*path.split(".")))


class Readable(BaseModel):
    """What is read of a record, by the names of Tryton's fields; lists are of records within."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: int

    @classmethod
    def fields(cls) -> list[str]:
        """What to ask for: its fields, and those of the records within."""
        names: list[str] = []
        for name, field in cls.model_fields.items():
            alias = field.validation_alias
            if get_origin(field.annotation) is list:
                [within] = get_args(field.annotation)
                names += [f"{name}.{part}" for part in within.fields()]
            else:
                names.append(".".join(map(str, alias.path)) if isinstance(alias, AliasPath) else name)
        return names


R = TypeVar("R", bound=Readable)
Domain = list[Any]
"""A condition in Tryton's form: clauses of which all hold, or, with `OR` in front, one."""

_LONGEST_WORDS = 300
_DAY = ("year", "month", "day")
_MOMENT = (*_DAY, "hour", "minute", "second", "microsecond")


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
        self._path = f"/{segment(database)}/rpc/"
        self._credentials = credentials
        self._begun: dict[tuple[str, str | None], Access] = {}
        self._one = anyio.Lock()

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        """See `Credentials`."""
        own = await self._credentials.of(back_end, tenant, person)
        async with self._one:
            session = self._begun.get((tenant, own.person))
            if session is None or session.version != own.version:
                session = self._begun[tenant, own.person] = await self._begin(own)
        return session

    async def refused(self, access: Access) -> Access | None:
        """See `Credentials`. A session ends when it was not used for some minutes: begin another."""
        if self._begun.get((access.tenant, access.person)) == access:
            del self._begun[access.tenant, access.person]
        return await self.of(access.back_end, access.tenant, access.person)

    async def _begin(self, own: Access) -> Access:
        call = CallContext(own.tenant, "", "login", datetime.now(UTC), person=own.person)
        shown = own.user, {"password": own.secret.get_secret_value()}
        answer = (await self._door.read(call, **_request(self._path, "common.db.login", *shown))).as_(_Answer)
        match answer.result:
            case [int(user), str(session), *_]:
                token = b64encode(f"{own.user}:{user}:{session}".encode()).decode()
                return replace(own, secret=SecretStr(token), user="")
        raise Unavailable(f"Tryton begins no session for `{own.user}`; nothing was done")


class Rpc:
    """The methods of one database's models.

    Args:
        site: Where Tryton is.
        database: Tryton's name of it.
        credentials: Whose users and passwords.
        own: Fields that the company has added, by the model; they are read with the others.
    """

    def __init__(
        self, site: Site, database: str, credentials: Credentials, own: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._door = Api(site, credentials)
        self._sessions = Sessions(self._door, database, credentials)
        self._api = Api(replace(site, before="Session "), self._sessions)
        self._path = f"/{segment(database)}/rpc/"
        self._own = own or {}

    async def search(
        self, call: CallContext, model: str, row: type[R], domain: Domain, limit: int | None = None, by: str = ""
    ) -> list[R]:
        """The rows that a condition holds for.

        Args:
            call: In whose name.
            model: Such as `party.party`.
            row: What to read.
            domain: The condition.
            limit: How many at most.
            by: A field of which the greatest come first; empty for Tryton's own order.
        """
        order = [[by, "DESC"], ["id", "DESC"]] if by else None
        fields = [*row.fields(), *self._own.get(model, ())]
        request = _request(self._path, f"model.{model}.search_read", domain, 0, limit, order, fields, {})
        reply = await self._api.read(call, **request)
        try:
            return [row.model_validate(plain(each)) for each in _result(reply, Unavailable)]
        except (ValueError, TypeError, LookupError, ArithmeticError):
            raise Unavailable(f"Tryton answers what makes no sense as `{model}`") from None

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
        context = {"_timestamp": unchanged} if unchanged else {}
        request = _request(self._path, f"model.{method}", *params, context)
        return _result(await self._api.act(call, **request), InDoubt)

    async def version(self, call: CallContext) -> str:
        """Which Tryton it is."""
        return str(_result(await self._door.read(call, **_request("/rpc/", "common.server.version")), Unavailable))

    async def close(self) -> None:
        """Close the connections."""
        await self._door.close()
        await self._api.close()


def containing(text: str) -> str:
    """A text as the pattern for `ilike` that finds it anywhere, its own wildcards as plain characters."""
    return f"%{exactly(text)}%"


def exactly(text: str) -> str:
    """A text as the pattern for `ilike` that finds it in any case, its own wildcards as plain characters."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def spelled(value: object) -> Any:  # noqa: ANN401 - JSON data
    """As Tryton's JSON has what JSON itself has not.

    Raises:
        TypeError: If it has neither.
    """
    match value:
        case datetime():
            at = value.astimezone(UTC)
            return {"__class__": "datetime", **{name: getattr(at, name) for name in _MOMENT}}
        case date():
            return {"__class__": "date", **{name: getattr(value, name) for name in _DAY}}
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
    raise TypeError(type(value).__name__)


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON data
    """A value out of Tryton's JSON: its times are UTC, and what is empty is left out."""
    match value:
        case {"__class__": "datetime"}:
            return datetime(*(value[name] for name in _MOMENT)).replace(tzinfo=UTC)  # noqa: DTZ001 - its times are UTC
        case {"__class__": "date"}:
            return date(*(value[name] for name in _DAY))
        case {"__class__": "Decimal"}:
            return Decimal(value["decimal"])
        case dict():
            # A record within is under its field's name and a dot.
            return {name.removesuffix("."): plain(part) for name, part in value.items() if part is not None}
        case list():
            return [plain(part) for part in value]
    return value


def _request(path: str, method: str, *params: object) -> dict[str, Any]:
    asked = json.dumps({"id": 1, "method": method, "params": params}, default=spelled)
    # The method is repeated in the query, where Tryton does not look: so the logs on the way say what was asked.
    given = {"content": asked, "headers": {"Content-Type": "application/json"}}
    return {"method": "POST", "path": f"{path}?{method}", **given}


def _result(reply: Reply, failed: type[ConnectorError]) -> Any:  # noqa: ANN401 - JSON data
    answer = reply.as_(_Answer)
    match answer.error:
        case None:
            return answer.result
        case ["ConcurrencyException", *_]:
            raise Conflict("it was changed by somebody else; read it again, then decide", field="version")
        case ["UserError" | "UserWarning", [*words]]:
            raise InvalidInput(f"Tryton refuses it: {_words(words)}", is_untrusted=True)
    # The trace that comes with it says too much.
    raise failed(f"Tryton failed at it: {_words(answer.error[:1])}", is_untrusted=True)


def _words(told: Sequence[object]) -> str:
    return " ".join(" ".join(word for word in told if isinstance(word, str)).split())[:_LONGEST_WORDS]
