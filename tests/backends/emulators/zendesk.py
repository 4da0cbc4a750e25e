"""One account of Zendesk Support, as far as its published API description says how it behaves.

It takes nothing but what is described, and keeps everything in memory.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY_FIELD = 360_001
TOKEN, OTHER_TOKEN = "zendesk-of-larkspur", "zendesk-of-other"
_NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
_TERM = re.compile(r'(?P<minus>-?)(?:(?P<name>\w+)(?P<sign><=|>=|:|<|>))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_SEARCHED_AT_ONCE = 1_000

Status = Literal["new", "open", "pending", "hold", "solved", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AskedComment(_Asked):
    body: str
    public: bool = True
    author_id: int | None = None


class AskedRequester(_Asked):
    name: str
    email: str


class AskedValue(_Asked):
    id: int
    value: str


class _AskedTicket(_Asked):
    subject: str | None = None
    priority: Priority | None = None
    status: Status | None = None
    tags: list[str] | None = None
    custom_fields: list[AskedValue] = []
    external_id: str | None = None


class NewTicket(_AskedTicket):
    comment: AskedComment
    requester: AskedRequester
    submitter_id: int | None = None


class ChangedTicket(_AskedTicket):
    comment: AskedComment | None = None
    assignee_email: str | None = None
    safe_update: bool = False
    updated_stamp: str | None = None


class Create(_Asked):
    ticket: NewTicket


class Change(_Asked):
    ticket: ChangedTicket


@dataclass
class Account:
    """The account.

    Args:
        token: What lets in.
        lags: Whether searches do not yet show what is new.
    """

    token: str
    lags: bool = False
    users: dict[int, dict[str, Any]] = field(default_factory=dict)
    tickets: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    searched: dict[int, str] = field(default_factory=dict)
    answered: dict[str, tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    now: datetime = _NOON
    numbers: int = 7_000_000_000

    def __post_init__(self) -> None:
        self.me = self.user("Remit", "remit@larkspur.example", "agent")
        self.agent = self.user("Agent", "agent@larkspur.example", "agent")

    def user(self, name: str, email: str, role: str = "end-user") -> int:
        """The user who has an address, made if there is none."""
        for user in self.users.values():
            if user["email"] == email:
                return int(user["id"])
        number = self.next()
        self.users[number] = {"id": number, "name": name, "email": email, "role": role}
        return number

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    def say(self, number: int, author: int, body: str, *, public: bool = True, channel: str = "api") -> None:
        """Add a comment to a ticket."""
        self.touch(number)
        said = {"body": body, "plain_body": body, "html_body": f"<p>{body}</p>", "public": public}
        at = {"created_at": _written(self.now), "via": {"channel": channel}}
        self.comments[number].append({"id": self.next(), "type": "Comment", "author_id": author, **said, **at})
        self.index(number)

    def touch(self, number: int) -> None:
        """A change takes place, a second after the last one."""
        self.now += timedelta(seconds=1)
        self.tickets[number]["updated_at"] = _written(self.now)
        self.index(number)

    def add(self, requester: int, submitter: int, body: str, **fields: Any) -> int:
        """Add a ticket."""
        number = len(self.tickets) + 1
        known: dict[str, Any] = {
            "subject": None,
            "priority": None,
            "status": "new",
            "tags": [],
            "custom_fields": [],
            "assignee_id": None,
        }
        at = {"id": number, "requester_id": requester, "submitter_id": submitter, "created_at": _written(self.now)}
        self.tickets[number], self.comments[number] = {**known, **fields, **at, "updated_at": ""}, []
        self.say(number, submitter, body)
        self.tickets[number]["created_at"] = self.tickets[number]["updated_at"]
        return number

    def index(self, number: int) -> None:
        if not self.lags:
            said = [comment["body"] for comment in self.comments[number]]
            self.searched[number] = "\n".join([self.tickets[number]["subject"] or "", *said]).casefold()

    def told(self, number: int) -> dict[str, Any]:
        return {**self.tickets[number], "comment_count": len(self.comments[number])}


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def app_of(account: Account) -> Starlette:
    """The account's API."""

    def route(path: str, handler: Callable[[Account, Request, bytes], Response], *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {account.token}":
                return JSONResponse({"error": "Couldn't authenticate you"}, 401)
            try:
                return handler(account, request, await request.body())
            except KeyError:
                return JSONResponse({"error": "RecordNotFound", "description": "Not found"}, 404)
            except ValidationError as error:
                return _invalid("base", str(error.errors()[0]["msg"]))

        return Route(f"/api/v2{path}", endpoint, methods=list(methods or ("GET",)))

    return Starlette(
        routes=[
            route("/users/me", lambda account, *_: JSONResponse({"user": account.users[account.me]})),
            route("/ticket_fields/{number}", _field),
            route("/tickets", _create, "POST"),
            route("/tickets/show_many", _show_many),
            route("/tickets/{number}", _show),
            route("/tickets/{number}", _change, "PUT"),
            route("/tickets/{number}/comments", _comments),
            route("/search", _search),
        ]
    )


def _invalid(name: str, description: str) -> Response:
    details = {name: [{"description": description, "error": "InvalidValue"}]}
    return JSONResponse(
        {"error": "RecordInvalid", "description": "Record validation errors", "details": details},
        422,
        headers={"x-zendesk-request-id": "req-42"},
    )


def _number(request: Request) -> int:
    text: str = request.path_params["number"]
    return int(text) if text.isdigit() else -1


def _included(request: Request) -> set[str]:
    return set(request.query_params.get("include", "").split(","))


def _with_users(account: Account, request: Request, body: dict[str, Any], numbers: Sequence[int | None]) -> Response:
    if "users" in _included(request):
        body["users"] = [account.users[number] for number in dict.fromkeys(numbers) if number]
    return JSONResponse(body)


def _field(account: Account, request: Request, _body: bytes) -> Response:
    there = {KEY_FIELD: ("Remit key", "text"), KEY_FIELD + 1: ("Amount", "decimal")}
    title, kind = there[_number(request)]
    return JSONResponse({"ticket_field": {"id": _number(request), "title": title, "type": kind, "active": True}})


def _shown(account: Account, request: Request, number: int) -> dict[str, Any]:
    told = account.told(number)
    return told if "comment_count" in _included(request) else account.tickets[number]


def _people(ticket: Mapping[str, Any]) -> list[int | None]:
    return [ticket["requester_id"], ticket["assignee_id"], ticket["submitter_id"]]


def _show(account: Account, request: Request, _body: bytes) -> Response:
    ticket = account.tickets[_number(request)]
    return _with_users(account, request, {"ticket": _shown(account, request, ticket["id"])}, _people(ticket))


def _show_many(account: Account, request: Request, _body: bytes) -> Response:
    numbers = [int(number) for number in request.query_params["ids"].split(",")]
    assert len(numbers) <= 100
    there = [number for number in numbers if number in account.tickets]
    tickets = [_shown(account, request, number) for number in there]
    people = [person for number in there for person in _people(account.tickets[number])]
    return _with_users(account, request, {"tickets": tickets, "count": len(tickets)}, people)


def _comments(account: Account, request: Request, _body: bytes) -> Response:
    comments = account.comments[_number(request)]
    size = int(request.query_params["page[size]"])
    assert size <= 100
    start = int(urlsafe_b64decode(request.query_params.get("page[after]", "MA==")))
    page, more = comments[start : start + size], len(comments) > start + size
    after = urlsafe_b64encode(str(start + size).encode()).decode()
    body = {"comments": page, "meta": {"has_more": more, "after_cursor": after if more else None}}
    return _with_users(account, request, body, [comment["author_id"] for comment in page])


def _create(account: Account, request: Request, body: bytes) -> Response:
    key = request.headers.get("idempotency-key", "")
    if key in account.answered:
        sent, answer = account.answered[key]
        if sent != body:
            return JSONResponse({"error": "IdempotentRequestError", "description": "other parameters"}, 400)
        return JSONResponse(answer, 201, headers={"x-idempotency-lookup": "hit"})
    asked = Create.model_validate_json(body).ticket
    requester = account.user(asked.requester.name, asked.requester.email)
    fields = {"subject": asked.subject, "priority": asked.priority, "tags": asked.tags or []}
    custom = [value.model_dump() for value in asked.custom_fields]
    submitter = asked.submitter_id or requester
    number = account.add(requester, submitter, asked.comment.body, custom_fields=custom, **fields)
    answer = {"ticket": account.tickets[number], "audit": {"id": account.next(), "events": []}}
    if key:
        account.answered[key] = body, answer
    return JSONResponse(answer, 201, headers={"x-idempotency-lookup": "miss"})


def _change(account: Account, request: Request, body: bytes) -> Response:
    ticket = account.tickets[_number(request)]
    asked = Change.model_validate_json(body).ticket
    if ticket["status"] == "closed":
        return _invalid("status", "Status: closed prevents ticket update")
    if asked.safe_update and asked.updated_stamp is None:
        return _invalid("safe_update", "safe_update needs an updated_stamp")
    if asked.safe_update and asked.updated_stamp != ticket["updated_at"]:
        return JSONResponse({"error": "UpdateConflict", "description": "Safe Update prevented the update"}, 409)
    if asked.assignee_email is not None:
        agents = [user for user in account.users.values() if user["role"] == "agent"]
        found = [user["id"] for user in agents if user["email"] == asked.assignee_email]
        if not found:
            return _invalid("assignee", f"Assignee: {asked.assignee_email} is not an agent")
        ticket["assignee_id"] = found[0]
    for name in ("subject", "priority", "status", "tags"):
        if (value := getattr(asked, name)) is not None:
            ticket[name] = value
    for value in asked.custom_fields:
        ticket["custom_fields"] = [each for each in ticket["custom_fields"] if each["id"] != value.id]
        ticket["custom_fields"].append(value.model_dump())
    if asked.comment:
        account.say(ticket["id"], account.me, asked.comment.body, public=asked.comment.public)
    else:
        account.touch(ticket["id"])
    return JSONResponse({"ticket": ticket, "audit": {"id": account.next(), "events": []}})


def _search(account: Account, request: Request, _body: bytes) -> Response:
    query, asked = request.query_params["query"], request.query_params
    size, page = int(asked["per_page"]), int(asked["page"])
    assert size <= 100
    assert (asked["sort_by"], asked["sort_order"]) == ("updated_at", "desc")
    if (page - 1) * size >= _SEARCHED_AT_ONCE:
        return _invalid("page", "Requested response size was greater than Search Response Limits")
    terms = [match.groupdict() for match in _TERM.finditer(query)]
    found = [number for number in account.searched if _matches(account, number, terms)]
    # Within a second the order is the index's own.
    found.sort(key=lambda number: (account.tickets[number]["updated_at"], number * 7 % 1_009), reverse=True)
    results = [
        {**account.tickets[number], "result_type": "ticket"} for number in found[(page - 1) * size : page * size]
    ]
    more = len(found) > page * size
    return JSONResponse({"results": results, "count": len(found), "next_page": f"{request.url}+1" if more else None})


def _matches(account: Account, number: int, terms: Sequence[Mapping[str, str | None]]) -> bool:
    ticket, wanted = account.tickets[number], dict[str, list[bool]]()
    for term in terms:
        value = term["phrase"] or term["word"] or ""
        is_so = _is_so(account, ticket, term["name"], term["sign"], value)
        name = term["name"] or f"{term['minus']}{value}"
        wanted.setdefault(name, []).append(is_so != bool(term["minus"]))
    return all(any(each) for each in wanted.values())


def _is_so(account: Account, ticket: Mapping[str, Any], name: str | None, sign: str | None, value: str) -> bool:
    if name is None:
        return all(word in account.searched[ticket["id"]] for word in re.findall(r"\w+", value.casefold()))
    if name.startswith("custom_field_"):
        number = int(name.removeprefix("custom_field_"))
        return any(each["id"] == number and each["value"] == value for each in ticket["custom_fields"])
    if name == "updated" and sign == "<=":
        return bool(ticket["updated_at"] <= value)
    people = {"requester": ticket["requester_id"], "assignee": ticket["assignee_id"]}
    if name in people:
        return bool(people[name]) and bool(account.users[people[name]]["email"] == value.casefold())
    facts: dict[str, bool] = {
        "type": value == "ticket",
        "status": ticket["status"] == value,
        "priority": ticket["priority"] == value,
        "tags": value in ticket["tags"],
    }
    return facts[name]
