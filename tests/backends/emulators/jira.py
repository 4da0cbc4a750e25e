"""A site of Jira Service Management Cloud, as far as its published API description says how it behaves.

It takes nothing but what is described, and keeps everything in memory.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN, USER = "jira-of-larkspur", "remit@larkspur.example"
REQUEST_TYPE_FIELD, REQUEST_TYPE, ISSUE_TYPE = "customfield_10010", "24", "[System] Service request"
STATUSES = ("Waiting for support", "In Progress", "Waiting for customer", "Resolved", "Closed")
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
_NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
_STRING = r'"((?:[^"\\]|\\.)*)"'
_CONDITIONS = {
    "is": re.compile(rf"(project|reporter|assignee|labels) = {_STRING}"),
    "in": re.compile(rf"(status|priority) IN \(({_STRING}(?:, {_STRING})*)\)"),
    "text": re.compile(rf"text ~ {_STRING}"),
    "since": re.compile(r"updated >= -1d"),
}


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AskedName(_Asked):
    name: str


class AskedKey(_Asked):
    key: str


class AskedId(_Asked):
    id: str


class AskedProperty(_Asked):
    key: str
    value: dict[str, Any]


class NewFields(_Asked):
    project: AskedKey
    issuetype: AskedName
    request_type: str = Field(alias=REQUEST_TYPE_FIELD)
    summary: str = Field(min_length=1, max_length=255)
    description: str
    reporter: AskedId
    priority: AskedName
    labels: list[str]


class NewIssue(_Asked):
    fields: NewFields
    properties: list[AskedProperty] = []


class ChangedFields(_Asked):
    labels: list[str] | None = None
    priority: AskedName | None = None
    assignee: AskedId | None = None


class ChangedIssue(_Asked):
    fields: ChangedFields
    properties: list[AskedProperty] = []


class Transition(_Asked):
    transition: AskedId
    properties: list[AskedProperty] = []


class NewComment(_Asked):
    body: str
    properties: list[AskedProperty] = []


class NewCustomer(_Asked):
    email: str
    displayName: str  # noqa: N815 - Jira's


class Search(_Asked):
    jql: str
    fields: list[str]
    maxResults: int = Field(le=100)  # noqa: N815 - Jira's
    nextPageToken: str | None = None  # noqa: N815 - Jira's
    properties: list[str] = Field(default=[], max_length=5)


@dataclass
class JiraSite:
    """The site.

    Args:
        lags: Whether searches do not yet show what is new.
        stuck: Whether the workflow has no way to anywhere.
    """

    lags: bool = False
    stuck: bool = False
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    searched: set[int] = field(default_factory=set)
    now: datetime = _NOON
    numbers: int = 10_000

    def __post_init__(self) -> None:
        self.me = self.user("Remit", USER, "atlassian")
        self.agent = self.user("Agent", "agent@larkspur.example", "atlassian")

    def user(self, name: str, address: str, kind: str = "customer") -> str:
        """The account of the user who has an address, made if there is none."""
        for user in self.users.values():
            if user["emailAddress"] == address:
                return str(user["accountId"])
        account = f"qm:{self.next()}"
        told = {"accountId": account, "accountType": kind, "emailAddress": address, "displayName": name}
        self.users[account] = told
        return account

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    def touch(self, number: int) -> None:
        """A change takes place, a second after the last one."""
        self.now += timedelta(seconds=1)
        self.issues[number]["updated"] = _written(self.now)
        if not self.lags:
            self.searched.add(number)

    def add(self, project: str, reporter: str, creator: str, summary: str, description: str, **more: Any) -> int:
        """Add an issue."""
        number = self.next()
        usual: dict[str, Any] = {
            "status": STATUSES[0],
            "priority": "Medium",
            "labels": [],
            "assignee": None,
            "properties": {},
        }
        people = {"reporter": reporter, "creator": creator, "comments": []}
        said = {"project": project, "summary": summary, "description": description}
        self.issues[number] = {**usual, **said, **people, **more}
        self.touch(number)
        self.issues[number]["created"] = self.issues[number]["updated"]
        return number

    def say(self, number: int, author: str, body: str, *, public: bool = True, properties: Any = ()) -> None:
        """Add a comment to an issue."""
        self.touch(number)
        said = {"id": str(self.next()), "author": self.users[author], "body": body, "jsdPublic": public}
        at = {"created": _written(self.now), "properties": list(properties)}
        self.issues[number]["comments"].append({**said, **at})

    def told(self, number: int, fields: set[str]) -> dict[str, Any]:
        issue = self.issues[number]
        told = {
            "project": {"key": issue["project"]},
            "summary": issue["summary"],
            "description": issue["description"],
            "status": {"name": issue["status"]},
            "priority": {"name": issue["priority"]},
            "reporter": self.users[issue["reporter"]],
            "creator": self.users[issue["creator"]],
            "assignee": self.users[issue["assignee"]] if issue["assignee"] else None,
            "labels": issue["labels"],
            "created": issue["created"],
            "updated": issue["updated"],
            "comment": {"comments": [], "total": len(issue["comments"]), "maxResults": 0, "startAt": 0},
        }
        return {
            "id": str(number),
            "key": f"{issue['project']}-{number}",
            "fields": {n: told[n] for n in told if n in fields},
        }


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.000+0000"


def app_of(site: JiraSite, *projects: str) -> Starlette:
    """The site's API, as an agent of some of its projects sees it."""

    def route(path: str, handler: Callable[["_Seen", Request, bytes], Response], *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != _BASIC:
                return JSONResponse({"errorMessages": ["You are not authenticated."]}, 401)
            try:
                return handler(_Seen(site, projects), request, await request.body())
            except KeyError:
                return _refused(404, "Issue does not exist or you do not have permission to see it.")
            except ValidationError as error:
                return _refused(400, str(error.errors()[0]["loc"]))

        return Route(f"/rest{path}", endpoint, methods=list(methods or ("GET",)))

    return Starlette(
        routes=[
            route("/api/2/serverInfo", lambda *_: JSONResponse({"serverTitle": "Larkspur", "version": "1001"})),
            route("/api/2/myself", lambda seen, *_: JSONResponse(seen.site.users[seen.site.me])),
            route("/api/2/project/{key}", _project),
            route("/api/2/user/search", _users),
            route("/api/2/user/assignable/search", _assignable),
            route("/servicedeskapi/customer", _customer, "POST"),
            route("/api/2/search/jql", _search, "POST"),
            route("/api/2/issue", _create, "POST"),
            route("/api/2/issue/{number}", _issue),
            route("/api/2/issue/{number}", _change, "PUT"),
            route("/api/2/issue/{number}/properties/{name}", _mark, "PUT"),
            route("/api/2/issue/{number}/comment", _comments),
            route("/api/2/issue/{number}/comment", _comment, "POST"),
            route("/api/2/issue/{number}/transitions", _transitions),
            route("/api/2/issue/{number}/transitions", _transit, "POST"),
        ]
    )


_BASIC = "Basic cmVtaXRAbGFya3NwdXIuZXhhbXBsZTpqaXJhLW9mLWxhcmtzcHVy"


@dataclass(frozen=True)
class _Seen:
    site: JiraSite
    projects: tuple[str, ...]

    def issue(self, request: Request) -> tuple[int, dict[str, Any]]:
        text = request.path_params["number"]
        number = int(text) if text.isdigit() else -1
        if self.site.issues[number]["project"] not in self.projects:
            raise KeyError(number)
        return number, self.site.issues[number]


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"errorMessages": [message], "errors": {}}, status, headers={"atl-traceid": "trace-7"})


def _project(seen: _Seen, request: Request, _body: bytes) -> Response:
    key = request.path_params["key"]
    return JSONResponse({"key": key, "id": "1"}) if key in seen.projects else _refused(404, "No project could be found")


def _users(seen: _Seen, request: Request, _body: bytes) -> Response:
    query = request.query_params["query"].casefold()
    matching = ("emailAddress", "displayName")
    found = [each for each in seen.site.users.values() if any(each[m].casefold().startswith(query) for m in matching)]
    return JSONResponse(found)


def _assignable(seen: _Seen, request: Request, _body: bytes) -> Response:
    account = request.query_params["accountId"]
    found = [each for each in seen.site.users.values() if each["accountId"] == account]
    return JSONResponse([each for each in found if each["accountType"] == "atlassian"])


def _customer(seen: _Seen, _request: Request, body: bytes) -> Response:
    asked = NewCustomer.model_validate_json(body)
    if any(each["emailAddress"] == asked.email for each in seen.site.users.values()):
        return JSONResponse({"errorMessage": "An account already exists for this email"}, 400)
    account = seen.site.user(asked.displayName, asked.email)
    return JSONResponse(seen.site.users[account], 201)


def _kept(issue: dict[str, Any], properties: list[AskedProperty]) -> None:
    issue["properties"] |= {each.key: each.value for each in properties}


def _create(seen: _Seen, _request: Request, body: bytes) -> Response:
    asked = NewIssue.model_validate_json(body)
    fields = asked.fields
    if fields.project.key not in seen.projects or fields.issuetype.name != ISSUE_TYPE:
        return _refused(400, "valid project is required")
    if fields.request_type != REQUEST_TYPE or fields.priority.name not in PRIORITIES:
        return _refused(400, "valid request type and priority are required")
    seen.site.users[fields.reporter.id]
    more: dict[str, Any] = {"priority": fields.priority.name, "labels": fields.labels}
    said = fields.reporter.id, seen.site.me, fields.summary, fields.description
    number = seen.site.add(fields.project.key, *said, **more)
    _kept(seen.site.issues[number], asked.properties)
    return JSONResponse({"id": str(number), "key": f"{fields.project.key}-{number}", "self": "…"}, 201)


def _issue(seen: _Seen, request: Request, _body: bytes) -> Response:
    number, _ = seen.issue(request)
    return JSONResponse(seen.site.told(number, set(request.query_params["fields"].split(","))))


def _change(seen: _Seen, request: Request, body: bytes) -> Response:
    number, issue = seen.issue(request)
    asked = ChangedIssue.model_validate_json(body)
    fields = asked.fields
    if fields.assignee and seen.site.users[fields.assignee.id]["accountType"] != "atlassian":
        return JSONResponse({"errorMessages": [], "errors": {"assignee": "User cannot be assigned issues."}}, 400)
    if fields.priority and fields.priority.name not in PRIORITIES:
        return JSONResponse({"errorMessages": [], "errors": {"priority": "Priority name is not valid"}}, 400)
    issue["assignee"] = fields.assignee.id if fields.assignee else issue["assignee"]
    issue["priority"] = fields.priority.name if fields.priority else issue["priority"]
    issue["labels"] = issue["labels"] if fields.labels is None else fields.labels
    _kept(issue, asked.properties)
    seen.site.touch(number)
    return Response(status_code=204)


def _mark(seen: _Seen, request: Request, body: bytes) -> Response:
    _, issue = seen.issue(request)
    value = AskedProperty.model_validate_json(b'{"key": "x", "value": ' + body + b"}").value
    issue["properties"][request.path_params["name"]] = value
    return Response(status_code=200)


def _comments(seen: _Seen, request: Request, _body: bytes) -> Response:
    _, issue = seen.issue(request)
    start, most = int(request.query_params["startAt"]), int(request.query_params["maxResults"])
    assert most <= 100
    page = issue["comments"][start : start + most]
    if "properties" not in request.query_params.get("expand", ""):
        page = [{name: value for name, value in each.items() if name != "properties"} for each in page]
    return JSONResponse({"comments": page, "startAt": start, "total": len(issue["comments"]), "maxResults": most})


def _comment(seen: _Seen, request: Request, body: bytes) -> Response:
    number, issue = seen.issue(request)
    asked = NewComment.model_validate_json(body)
    kept = [each.model_dump() for each in asked.properties]
    internal = any(each["key"] == "sd.public.comment" and each["value"]["internal"] for each in kept)
    seen.site.say(number, seen.site.me, asked.body, public=not internal, properties=kept)
    return JSONResponse(issue["comments"][-1], 201)


def _transitions(seen: _Seen, request: Request, _body: bytes) -> Response:
    _, issue = seen.issue(request)
    ways = [(str(n), to) for n, to in enumerate(STATUSES, 11) if to != issue["status"] and not seen.site.stuck]
    return JSONResponse({"transitions": [{"id": id_, "name": f"Go to {to}", "to": {"name": to}} for id_, to in ways]})


def _transit(seen: _Seen, request: Request, body: bytes) -> Response:
    number, issue = seen.issue(request)
    asked = Transition.model_validate_json(body)
    to = STATUSES[int(asked.transition.id) - 11]
    if to == issue["status"] or seen.site.stuck:
        return _refused(400, "It seems that you have tried to perform an illegal workflow operation.")
    issue["status"] = to
    _kept(issue, asked.properties)
    seen.site.touch(number)
    return Response(status_code=204)


def _search(seen: _Seen, _request: Request, body: bytes) -> Response:
    asked = Search.model_validate_json(body)
    conditions, _, order = asked.jql.partition(" ORDER BY ")
    if order != "updated DESC" or not (parsed := _parsed(conditions)):
        return _refused(400, f"Error in the JQL Query: {asked.jql}")
    token = urlsafe_b64decode(asked.nextPageToken).decode() if asked.nextPageToken else "~ 999999999"
    issues = seen.site.issues
    found = [(issues[number]["updated"], number) for number in seen.site.searched if number in issues]
    found = sorted(((at, n) for at, n in found if f"{at} {n:09d}" < token and _matches(seen, n, parsed)), reverse=True)
    page, rest = found[: asked.maxResults], found[asked.maxResults :]
    told = [seen.site.told(number, set(asked.fields)) for _, number in page]
    for each, (_, number) in zip(told, page, strict=True):
        kept = issues[number]["properties"]
        each["properties"] = {name: kept[name] for name in asked.properties if name in kept}
    after = urlsafe_b64encode(f"{page[-1][0]} {page[-1][1]:09d}".encode()).decode() if rest else None
    return JSONResponse({"issues": told, **({"nextPageToken": after} if after else {}), "isLast": not rest})


def _parsed(conditions: str) -> list[tuple[str, tuple[str, ...]]] | None:
    """The conditions, all joined by AND; None if that is not what they are."""
    found, place = list[tuple[str, tuple[str, ...]]](), 0
    while True:
        tried = ((kind, pattern.match(conditions, place)) for kind, pattern in _CONDITIONS.items())
        kind, match = next(((kind, match) for kind, match in tried if match), ("", None))
        if match is None:
            return None
        found.append((kind, tuple(_plain(group or "") for group in match.groups())))
        place = match.end()
        if place == len(conditions):
            return found
        if not conditions.startswith(" AND ", place):
            return None
        place += len(" AND ")


def _plain(text: str) -> str:
    return text if text.startswith('"') else re.sub(r"\\(.)", r"\1", text)


def _matches(seen: _Seen, number: int, conditions: list[tuple[str, tuple[str, ...]]]) -> bool:
    issue = seen.site.issues[number]
    if issue["project"] not in seen.projects:
        return False
    said = "\n".join([issue["summary"], issue["description"], *(each["body"] for each in issue["comments"])]).casefold()
    for kind, groups in conditions:
        if kind == "is":
            value = issue[groups[0]]
            is_so = groups[1] in value if isinstance(value, list) else value == groups[1]
        elif kind == "in":
            is_so = issue[groups[0]] in re.findall(_STRING, groups[1])
        elif kind == "text":
            is_so = groups[0].strip('"').casefold() in re.findall(r"[^\W_]+", said)
        else:
            is_so = True
        if not is_so:
            return False
    return True
