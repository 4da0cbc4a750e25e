"""Salesforce as its documentation of the REST API says: records, upserts by external id, SOQL, conditional changes.

What it is sent has to be as described there, and a query is really parsed.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.crm.salesforce_soql import checksum

TOKEN = "00Dxx!session"
KEY = "Remit_Key__c"
_TIMES = {"CreatedDate", "LastModifiedDate"}
FIELDS = {
    "Contact": {"FirstName", "LastName", "Email", "Phone", "Title", "Description", "AccountId", "Language__c", KEY},
    "Account": {"Name", "Website", "Industry", "BillingCountry", "Description", "OwnerId", "Tier__c"},
    "Opportunity": {"Name", "StageName", "Amount", "CloseDate", "NextStep", "AccountId", "OwnerId", KEY},
    "Task": {"Subject", "Description", "Status", "ActivityDate", "WhoId", "WhatId", KEY},
}
_REQUIRED = {"Contact": {"LastName"}, "Opportunity": {"Name", "StageName", "CloseDate"}}
_PREFIX = {"Contact": "003", "Account": "001", "Opportunity": "006", "Task": "00T"}
_STAGES = {"Prospecting", "Qualification", "Negotiation/Review", "Closed Won", "Closed Lost"}
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LONG = {"Description"}
_TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|[A-Za-z_][\w.]*|-?\d[\w:.+-]*|!=|<=|>=|[=<>(),])", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}


class Refused(Exception):
    """What Salesforce says no with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Salesforce:
    """One company's."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in FIELDS}
        self.deleted: dict[str, dict[str, Any]] = {}
        self._ids, self._ticks = count(1), count()
        base = "/services/data/v62.0"
        self.app = Starlette(
            routes=[
                Route(f"{base}/query", self._told(self._query)),
                Route(f"{base}/queryAll", self._told(self._query_deleted)),
                Route(f"{base}/sobjects/{{kind}}/describe", self._told(self._describe)),
                Route(f"{base}/sobjects/{{kind}}/{{id}}", self._told(self._patch), methods=["PATCH"]),
                Route(f"{base}/sobjects/{{kind}}/{{field}}/{{value}}", self._told(self._upsert), methods=["PATCH"]),
            ]
        )

    def add(self, kind: str, values: dict[str, Any]) -> str:
        """Add a record beside the API."""
        self._check(kind, values)
        if missing := [name for name in _REQUIRED.get(kind, ()) if not values.get(name)]:
            raise Refused(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: {missing}")
        number, letters = next(self._ids), ""
        while len(letters) < 12:
            number, digit = divmod(number, 62)
            letters = _LETTERS[digit] + letters
        short = _PREFIX[kind] + letters
        now = self._now()
        id_ = short + checksum(short)
        self.records[kind][id_] = {**values, "CreatedDate": now, "LastModifiedDate": now}
        return id_

    def change(self, kind: str, id_: str, values: dict[str, Any]) -> None:
        """Change a record beside the API."""
        self._check(kind, values)
        self.records[kind][id_] |= {**values, "LastModifiedDate": self._now()}

    def delete(self, kind: str, id_: str, master: str | None = None) -> None:
        """Delete a record, or have it merged into another one."""
        del self.records[kind][id_]
        self.deleted[id_] = {"MasterRecordId": master}

    def _now(self) -> datetime:
        # Times are whole seconds: several changes are at the same one.
        return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=next(self._ticks) // 3)

    def _check(self, kind: str, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name not in FIELDS[kind]:
                raise Refused(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind}")
            if name == "Amount" and not isinstance(value, int | float):
                raise Refused(400, "JSON_PARSER_ERROR", "Cannot deserialize instance of currency")
        if values.get("StageName", "Prospecting") not in _STAGES:
            raise Refused(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"bad value: {values['StageName']}")

    def _told(self, handle: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                if request.headers.get("authorization") != f"Bearer {TOKEN}":
                    raise Refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
                if request.path_params.get("kind", "Contact") not in FIELDS:
                    raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
                status, found = handle(request, await request.json() if request.method == "PATCH" else None)
                return Response(status_code=status) if found is None else JSONResponse(found, status)
            except Refused as error:
                return JSONResponse([{"message": str(error), "errorCode": error.code}], error.status)

        return answer

    def _describe(self, request: Request, _body: Any) -> tuple[int, Any]:
        names = FIELDS[request.path_params["kind"]]
        return 200, {"fields": [{"name": n, "externalId": n == KEY, "unique": n == KEY} for n in sorted(names)]}

    def _patch(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, id_ = request.path_params["kind"], request.path_params["id"]
        if id_ not in self.records[kind]:
            raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
        since = request.headers.get("if-unmodified-since")
        if since and self.records[kind][id_]["LastModifiedDate"] > parsedate_to_datetime(since):
            raise Refused(412, "PRECONDITION_FAILED", "the record was modified")
        self.change(kind, id_, body)
        return 204, None

    def _upsert(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, field, value = (request.path_params[name] for name in ("kind", "field", "value"))
        if field != KEY or field in body:
            raise Refused(400, "INVALID_FIELD", "Provided external ID field does not exist or is not accessible")
        for id_, row in self.records[kind].items():
            if row.get(KEY) == value:
                self.change(kind, id_, body)
                return 200, {"id": id_, "success": True, "errors": [], "created": False}
        made = self.add(kind, {**body, KEY: value})
        return 201, {"id": made, "success": True, "errors": [], "created": True}

    def _query_deleted(self, request: Request, _body: Any) -> tuple[int, Any]:
        found = re.search(r"WHERE Id = '(\w+)' AND IsDeleted = true", request.query_params["q"])
        assert found
        return 200, {"records": [self.deleted[found[1]]] if found[1] in self.deleted else []}

    def _query(self, request: Request, _body: Any) -> tuple[int, Any]:
        asked = Query(request.query_params["q"])
        kind = asked.kind
        there = [(id_, row) for id_, row in self.records[kind].items() if asked.holds(self._getter(kind, id_, row))]
        if asked.newest_first:
            there.sort(key=lambda each: (each[1]["LastModifiedDate"], each[0]), reverse=True)
        shown = [self._shown(kind, id_, row, asked.fields) for id_, row in there[: asked.limit]]
        return 200, {"totalSize": len(shown), "done": True, "records": shown}

    def _getter(self, kind: str, id_: str, row: dict[str, Any]) -> Callable[[str], Any]:
        def get(name: str) -> Any:
            if name == "Id":
                return id_
            if name == "Account.Name":
                return self.records["Account"].get(row.get("AccountId", ""), {}).get("Name")
            if name == "Owner.Email":
                return "ben@larkspur.example" if kind != "Contact" else None
            if name == "Name" and kind == "Contact":
                return " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))
            if name not in FIELDS[kind] | _TIMES:
                raise Refused(400, "INVALID_FIELD", f"No such column '{name}' on entity '{kind}'")
            return row.get(name)

        return get

    def _shown(self, kind: str, id_: str, row: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        get, shown = self._getter(kind, id_, row), dict[str, Any](attributes={"type": kind})
        for name in fields:
            value = get(name)
            if isinstance(value, datetime):
                value = value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
            outer, _, inner = name.partition(".")
            if inner:
                shown[outer] = None if value is None else {"attributes": {"type": outer}, inner: value}
            else:
                shown[name] = value
        return shown


class Query:
    """A query: `SELECT … FROM … WHERE … [ORDER BY LastModifiedDate DESC, Id DESC] [LIMIT n]`."""

    def __init__(self, text: str) -> None:
        self._tokens, place = list[str](), 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if not found:
                raise Refused(400, "MALFORMED_QUERY", f"unexpected token: '{text[place : place + 10]}'")
            self._tokens.append(found[1])
            place = found.end()
        self._expect("SELECT")
        self.fields = [self._next()]
        while self._took(","):
            self.fields.append(self._next())
        self._expect("FROM")
        self.kind = self._next()
        self._expect("WHERE")
        self.holds = self._any()
        self.newest_first = self._took("ORDER")
        if self.newest_first:
            for each in ("BY", "LastModifiedDate", "DESC", ",", "Id", "DESC"):
                self._expect(each)
        self.limit = int(self._next()) if self._took("LIMIT") else 2_000
        if self._tokens:
            raise Refused(400, "MALFORMED_QUERY", f"unexpected token: '{self._tokens[0]}'")

    def _next(self) -> str:
        if not self._tokens:
            raise Refused(400, "MALFORMED_QUERY", "unexpected end")
        return self._tokens.pop(0)

    def _took(self, token: str) -> bool:
        return bool(self._tokens and self._tokens[0] == token and self._tokens.pop(0))

    def _expect(self, token: str) -> None:
        if not self._took(token):
            raise Refused(400, "MALFORMED_QUERY", f"expecting {token}")

    def _any(self) -> Callable[[Callable[[str], Any]], bool]:
        parts = [self._all()]
        while self._took("OR"):
            parts.append(self._all())
        return lambda get: any(part(get) for part in parts)

    def _all(self) -> Callable[[Callable[[str], Any]], bool]:
        parts = [self._one()]
        while self._took("AND"):
            parts.append(self._one())
        return lambda get: all(part(get) for part in parts)

    def _one(self) -> Callable[[Callable[[str], Any]], bool]:
        if self._took("("):
            inner = self._any()
            self._expect(")")
            return inner
        name, operator = self._next(), self._next()
        if name in _LONG:
            raise Refused(400, "INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
        if operator == "IN":
            self._expect("(")
            wanted = [self._value()]
            while self._took(","):
                wanted.append(self._value())
            self._expect(")")
            return lambda get: get(name) in wanted
        token = self._tokens[0] if self._tokens else ""
        value = self._value()
        match operator:
            case "=":
                return lambda get: _folded(get(name)) == _folded(value)
            case "!=":
                return lambda get: _folded(get(name)) != _folded(value)
            case "<":
                return lambda get: get(name) is not None and get(name) < value
            case "LIKE":
                pattern = _pattern(token)
                return lambda get: bool(pattern.fullmatch(get(name) or ""))
        raise Refused(400, "MALFORMED_QUERY", f"unexpected token: '{operator}'")

    def _value(self) -> Any:
        token = self._next()
        if token.startswith("'"):
            return re.sub(r"\\(.)", lambda found: _escaped(found[1]), token[1:-1], flags=re.DOTALL)
        if token == "null":
            return None
        return datetime.fromisoformat(token) if "T" in token else float(token)


def _escaped(letter: str) -> str:
    if letter in "%_":
        return "\\" + letter
    if letter not in _ESCAPES:
        raise Refused(400, "MALFORMED_QUERY", f"Illegal string escape: \\{letter}")
    return _ESCAPES[letter]


def _pattern(token: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", token[1:-1], re.DOTALL)
    plain = {"%": ".*", "_": "."}
    return re.compile("".join(plain.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL | re.IGNORECASE)


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and len(value) != 18 else value
