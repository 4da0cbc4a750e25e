"""Microsoft Graph's mail as far as it is used here, written from its documentation (v1.0): strict in what it takes."""

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import lru_cache
from hashlib import sha256
from itertools import count
from operator import ge, le, lt
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.email.draft_message import headers
from connectors.email.mime import parse

_CLAUSE = re.compile(
    r"(receivedDateTime) (le|ge|lt) (\S+Z)|(isRead|isDraft) eq (true|false)"
    r"|(from/emailAddress/address|conversationId|internetMessageId) eq '((?:[^']|'')*)'"
)
_TAKEN = {"$select", "$filter", "$search", "$orderby", "$top", "$skip", "$skiptoken", "$expand"}
_FOLDERS = ("inbox", "sentitems", "archive", "drafts", "deleteditems")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Address(_Strict):
    address: str


class _Recipient(_Strict):
    emailAddress: _Address  # noqa: N815 - Graph's name


class _Body(_Strict):
    contentType: str  # noqa: N815 - as above
    content: str


class _Property(_Strict):
    id: str
    value: str


class _Change(_Strict):
    subject: str
    body: _Body
    toRecipients: list[_Recipient]  # noqa: N815 - as above
    ccRecipients: list[_Recipient]  # noqa: N815 - as above
    singleValueExtendedProperties: list[_Property]  # noqa: N815 - as above


read = lru_cache(4_096)(parse)


@dataclass(frozen=True)
class Kept:
    """A message in a mailbox."""

    id: str
    conversation: str
    folder: str
    raw: bytes
    received: datetime
    unread: bool = False
    draft: bool = False
    change: int = 1
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def etag(self) -> str:
        return f'W/"{urlsafe_b64encode(sha256(f"{self.id} {self.change}".encode()).digest()).decode()}"'


@dataclass
class Graph:
    """Some mailboxes, all opened by one token.

    Args:
        addresses: Whose they are.
        token: The token.
    """

    addresses: tuple[str, ...]
    token: str
    sent: list[bytes] = field(default_factory=list)
    """What went out to the world."""
    lag: int = 0
    """How often what was sent is looked for in vain."""
    renames: bool = False
    """Whether what was sent gets another id."""
    _mail: dict[str, dict[str, Kept]] = field(default_factory=dict)
    _late: dict[str, int] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def put(self, address: str, raw: bytes, folder: str, *, unread: bool = False) -> None:
        """Put a message into a folder, in the conversation that its headers name."""
        self._keep(address, raw, folder, unread=unread)

    def _keep(self, address: str, raw: bytes, folder: str, *, unread: bool = False, draft: bool = False) -> Kept:
        parsed, number = read(raw), next(self._numbers)
        names = {*parsed.references, parsed.in_reply_to}
        others = (each.conversation for each in self._of(address).values() if read(each.raw).message_id in names)
        id_ = f"AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A{sha256(f'{address}{number}'.encode()).hexdigest()}AAA="
        conversation = next(others, f"AAQkAGE0ZTk5ZTg5{id_[-40:]}")
        kept = Kept(id_, conversation, folder, raw, parsed.sent_at or datetime.now(UTC), unread, draft)
        self._of(address)[id_] = kept
        return kept

    def _of(self, address: str) -> dict[str, Kept]:
        return self._mail.setdefault(address, {})

    def drafts_of(self, address: str) -> list[Kept]:
        """A mailbox's drafts."""
        return [each for each in self._of(address).values() if each.draft and each.folder == "drafts"]

    def edit_draft(self, address: str, old: bytes, new: bytes) -> None:
        """Change a draft as a person does in Outlook."""
        for kept in self.drafts_of(address):
            self._of(address)[kept.id] = replace(kept, raw=kept.raw.replace(old, new), change=kept.change + 1)

    def app(self) -> Starlette:
        """The API."""
        user = "/v1.0/users/{user}"
        return Starlette(
            routes=[
                Route(f"{user}/mailFolders/{{folder}}", self._checked(self._folder)),
                Route(f"{user}/mailFolders/{{folder}}/messages", self._checked(self._list)),
                Route(f"{user}/messages", self._checked(self._list)),
                Route(f"{user}/messages", self._checked(self._create), methods=["POST"]),
                Route(f"{user}/messages/{{id}}", self._checked(self._get)),
                Route(f"{user}/messages/{{id}}", self._checked(self._patch), methods=["PATCH"]),
                Route(f"{user}/messages/{{id}}", self._checked(self._delete), methods=["DELETE"]),
                Route(f"{user}/messages/{{id}}/$value", self._checked(self._value)),
                Route(f"{user}/messages/{{id}}/send", self._checked(self._send), methods=["POST"]),
            ]
        )

    def _checked(self, handler: Callable[[Request, str, bytes], Response]) -> Any:
        async def answer(request: Request) -> Response:
            address = request.path_params["user"]
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _error(401, "InvalidAuthenticationToken")
            if address not in self.addresses:
                return _error(404, "ErrorInvalidUser")
            if request.headers.get("Prefer") != 'IdType="ImmutableId"':
                return _error(400, "BadRequest", "these ids would not stay")
            if unknown := set(request.query_params) - _TAKEN:
                return _error(400, "BadRequest", f"unknown {unknown}")
            return handler(request, address, await request.body())

        return answer

    def _folder(self, request: Request, _address: str, _body: bytes) -> Response:
        name = request.path_params["folder"]
        return JSONResponse({"id": f"folder-{name}"}) if name in _FOLDERS else _error(404, "ErrorItemNotFound")

    def _list(self, request: Request, address: str, _body: bytes) -> Response:
        query, folder = request.query_params, request.path_params.get("folder")
        there = self._of(address).values()
        found = [each for each in there if folder in {None, each.folder} and self._late.get(each.id, 0) <= 0]
        if "$search" in query:
            if {"$filter", "$orderby", "$skip"} & set(query):
                return _error(400, "SearchWithFilter")
            found = [each for each in found if _holds(each, query["$search"])]
        wanted = query.get("$filter", "")
        if "$orderby" in query and not wanted.startswith("receivedDateTime"):
            return _error(400, "InefficientFilter")
        try:
            found = list(filter(_meets(wanted), found))
        except ValueError as error:
            return _error(400, "BadRequest", str(error))
        found.sort(key=lambda each: (each.received, each.id), reverse=True)
        start, size = int(query.get("$skip", query.get("$skiptoken", 0))), int(query.get("$top", 10))
        page: dict[str, Any] = {"value": [_shown(each, query) for each in found[start : start + size]]}
        if found[start + size :]:
            name = "$skiptoken" if "$search" in query else "$skip"
            page["@odata.nextLink"] = f"{request.url.replace(query='')}?{name}={start + size}"
        return JSONResponse(page)

    def _get(self, request: Request, address: str, _body: bytes) -> Response:
        kept = self._of(address).get(request.path_params["id"])
        if kept and self._is_late(kept.id):
            return _error(404, "ErrorItemNotFound")
        return JSONResponse(_shown(kept, request.query_params)) if kept else _error(404, "ErrorItemNotFound")

    def _value(self, request: Request, address: str, _body: bytes) -> Response:
        kept = self._of(address).get(request.path_params["id"])
        return Response(kept.raw, media_type="text/plain") if kept else _error(404, "ErrorItemNotFound")

    def _create(self, request: Request, address: str, body: bytes) -> Response:
        if request.headers.get("Content-Type") != "text/plain":
            return _error(400, "BadRequest", "only MIME is taken here")
        kept = self._keep(address, b64decode(body, validate=True), "drafts", draft=True)
        return JSONResponse(_shown(kept, {}), 201)

    def _patch(self, request: Request, address: str, body: bytes) -> Response:
        kept = self._of(address).get(request.path_params["id"])
        if kept is None or not kept.draft:
            return _error(404, "ErrorItemNotFound")
        if request.headers.get("If-Match") != kept.etag:
            return _error(412, "ErrorIrresolvableConflict")
        try:
            change = _Change.model_validate_json(body)
        except ValidationError as error:
            return _error(400, "RequestBodyRead", str(error))
        properties = tuple((each.id, each.value) for each in change.singleValueExtendedProperties)
        other = replace(kept, raw=_rewritten(kept.raw, change), change=kept.change + 1, properties=properties)
        self._of(address)[kept.id] = other
        return JSONResponse(_shown(other, {}))

    def _delete(self, request: Request, address: str, _body: bytes) -> Response:
        kept = self._of(address).get(request.path_params["id"])
        if kept is None or kept.folder == "deleteditems":
            return _error(404, "ErrorItemNotFound")
        if request.headers.get("If-Match", kept.etag) != kept.etag:
            return _error(412, "ErrorIrresolvableConflict")
        del self._of(address)[kept.id]
        return Response(status_code=204)

    def _send(self, request: Request, address: str, _body: bytes) -> Response:
        kept = self._of(address).get(request.path_params["id"])
        if kept is None or not kept.draft:
            return _error(404, "ErrorItemNotFound")
        self.sent.append(kept.raw)
        del self._of(address)[kept.id]
        id_ = f"{kept.id[:-4]}BBB=" if self.renames else kept.id
        self._late[id_] = self.lag
        self._of(address)[id_] = replace(kept, id=id_, folder="sentitems", draft=False, change=kept.change + 1)
        return Response(status_code=202)

    def _is_late(self, id_: str) -> bool:
        self._late[id_] = self._late.get(id_, 0) - 1
        return self._late[id_] >= 0


def _shown(kept: Kept, query: Any) -> dict[str, Any]:
    parsed = read(kept.raw)
    at = kept.received.strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = {
        "id": kept.id,
        "conversationId": kept.conversation,
        "parentFolderId": f"folder-{kept.folder}",
        "internetMessageId": f"<{parsed.message_id}>",
        "subject": parsed.subject,
        "bodyPreview": parsed.text[:255],
        "from": {"emailAddress": {"name": parsed.sender_name, "address": parsed.sender_email}},
        "toRecipients": [{"emailAddress": {"name": each, "address": each}} for each in parsed.to],
        "ccRecipients": [{"emailAddress": {"name": each, "address": each}} for each in parsed.cc],
        "isRead": not kept.unread,
        "isDraft": kept.draft,
        "receivedDateTime": at,
        "sentDateTime": at,
    }
    names = query.get("$select", ",".join(whole)).split(",")
    shown = {"@odata.etag": kept.etag} | {name: whole[name] for name in names}
    if "attachments" in query.get("$expand", ""):
        shown["attachments"] = [{"id": f"{kept.id}-{each.index}"} for each in parsed.attachments]
    if "singleValueExtendedProperties" in query.get("$expand", "") and kept.properties:
        shown["singleValueExtendedProperties"] = [{"id": id_, "value": value} for id_, value in kept.properties]
    return shown


def _meets(wanted: str) -> Callable[[Kept], bool]:
    """Whether a message meets a filter.

    Raises:
        ValueError: If it is none that is known here.
    """
    if not wanted:
        return lambda _kept: True
    if " or " in wanted:
        some = [_meets(each) for each in wanted.split(" or ")]
        return lambda kept: any(each(kept) for each in some)
    every = [_meets_one(each) for each in wanted.split(" and ")]
    return lambda kept: all(each(kept) for each in every)


def _meets_one(clause: str) -> Callable[[Kept], bool]:
    found = _CLAUSE.fullmatch(clause)
    if not found:
        raise ValueError(f"Invalid filter clause: {clause}")
    if found[1]:
        at, compare = datetime.fromisoformat(found[3]), {"le": le, "ge": ge, "lt": lt}[found[2]]
        return lambda kept: bool(compare(kept.received.replace(microsecond=0), at))
    if found[4]:
        is_true = found[5] == "true"
        if found[4] == "isRead":
            return lambda kept: kept.unread != is_true
        return lambda kept: kept.draft == is_true
    text = found[7].replace("''", "'")
    if found[6] == "conversationId":
        return lambda kept: kept.conversation == text
    if found[6] == "internetMessageId":
        return lambda kept: f"<{read(kept.raw).message_id}>" == text
    return lambda kept: read(kept.raw).sender_email == text


def _holds(kept: Kept, search: str) -> bool:
    parsed = read(kept.raw)
    text = "\n".join((parsed.sender_name, parsed.sender_email, *parsed.to, parsed.subject, parsed.text)).casefold()
    for term in search.removeprefix('"').removesuffix('"').split(" AND "):
        if term.startswith("from:"):
            holds = term.removeprefix("from:").lower() in parsed.sender_email
        else:
            assert re.fullmatch(r'\\"[^"\\]*\\"', term), term
            holds = term[2:-2].casefold() in text
        if not holds:
            return False
    return True


def _rewritten(raw: bytes, change: _Change) -> bytes:
    """The message with what of it was changed."""
    head, message = headers(raw), EmailMessage(policy=SMTP)
    for name, value in head.items():
        if name.lower() not in {"subject", "to", "cc", "content-type", "content-transfer-encoding", "mime-version"}:
            message[name] = str(value)
    message["Subject"] = change.subject
    message["To"] = ", ".join(each.emailAddress.address for each in change.toRecipients)
    if change.ccRecipients:
        message["Cc"] = ", ".join(each.emailAddress.address for each in change.ccRecipients)
    message.set_content(change.body.content)
    return message.as_bytes()


def _error(status: int, code: str, message: str = "") -> JSONResponse:
    body = {"error": {"code": code, "message": message or code}}
    return JSONResponse(body, status, headers={"request-id": "b0c2a8f0-0000-4000-8000-000000000000"})
