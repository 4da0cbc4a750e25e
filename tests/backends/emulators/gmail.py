"""Gmail as far as its API is used here: its requests and answers are held against the API's own description."""

import json
import re
import shlex
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.email.mime import parse

DESCRIPTION = json.loads((Path(__file__).parent.parent / "descriptions" / "gmail_v1.json").read_text())
_QUERY = re.compile(r"(-?)(in|is|from|rfc822msgid):(\S+)")

read = lru_cache(4_096)(parse)


@dataclass(frozen=True)
class Kept:
    """A message in a mailbox."""

    id: str
    thread: str
    labels: frozenset[str]
    raw: bytes
    at: int


@dataclass
class Gmail:
    """Some mailboxes, each opened by one token.

    Args:
        tokens: The token of each address.
    """

    tokens: dict[str, str]
    sent: list[bytes] = field(default_factory=list)
    """What went out to the world."""
    _mail: dict[str, list[Kept]] = field(default_factory=dict)
    _drafts: dict[str, dict[str, str]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(0x18C0000000000001))

    def put(self, address: str, raw: bytes, *labels: str) -> None:
        """Put a message into a mailbox, in the conversation that its headers name."""
        self._keep(address, raw, frozenset(labels), "")

    def _keep(self, address: str, raw: bytes, labels: frozenset[str], thread: str) -> Kept:
        id_, parsed = f"{next(self._numbers):x}", read(raw)
        names = {*parsed.references, parsed.in_reply_to}
        others = (each.thread for each in self._of(address) if read(each.raw).message_id in names)
        at = int(parsed.sent_at.timestamp() * 1000) if parsed.sent_at else 0
        kept = Kept(id_, thread or next(others, id_), labels, raw, at)
        self._of(address).append(kept)
        return kept

    def _of(self, address: str) -> list[Kept]:
        return self._mail.setdefault(address, [])

    def app(self) -> Starlette:
        """The API."""
        routes: list[Route] = []
        for name, method in DESCRIPTION["methods"].items():
            handler = getattr(self, f"_{name.removeprefix('users.').replace('.', '_')}")
            path = f"/{method['path'].replace('{id}', '{id:str}')}"
            routes.append(Route(path, self._checked(method, handler), methods=[method["httpMethod"]]))
        # `drafts/send` is no draft's name.
        routes.sort(key=lambda route: "{id" in route.path)
        return Starlette(routes=routes)

    def _checked(self, method: dict[str, Any], handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            address = request.path_params["userId"]
            if request.headers.get("Authorization") != f"Bearer {self.tokens.get(address)}":
                return _error(401, "Request had invalid authentication credentials.")
            known = {**method["parameters"], **{name: {} for name in DESCRIPTION["parameters"]}}
            if wrong := [name for name in request.query_params if name not in known]:
                return _error(400, f"Invalid JSON payload received. Unknown name {wrong[0]}")
            for name, value in request.query_params.items():
                if value not in known[name].get("enum", [value]):
                    return _error(400, f"Invalid value at {name}")
            body = json.loads(await request.body() or b"null")
            if method["request"] and (problem := _problem(method["request"], body)):
                return _error(400, problem)
            found = handler(address, request.path_params.get("id", ""), request.query_params, body)
            if found is None:
                return _error(404, "Requested entity was not found.")
            if method["response"]:
                assert _problem(method["response"], found) is None, found
                return JSONResponse(found)
            return Response(status_code=204)

        return answer

    def _getProfile(self, address: str, _id: str, _query: Any, _body: Any) -> Any:  # noqa: N802 - the API's name
        return {"emailAddress": address, "messagesTotal": len(self._of(address)), "historyId": "1"}

    def _messages_list(self, address: str, _id: str, query: Any, _body: Any) -> Any:
        found = [each for each in self._of(address) if _matches(each, query.get("q", ""))]
        found.sort(key=lambda each: (each.at, each.id), reverse=True)
        if "pageToken" in query:
            # Where the last page ended, whatever has arrived since.
            until = tuple(query["pageToken"].split("x"))
            found = [each for each in found if (each.at, each.id) < (int(until[0]), until[1])]
        size = int(query.get("maxResults", 100))
        page: dict[str, Any] = {"resultSizeEstimate": len(found)}
        if found[:size]:
            page["messages"] = [{"id": each.id, "threadId": each.thread} for each in found[:size]]
        return page | ({"nextPageToken": f"{found[size - 1].at}x{found[size - 1].id}"} if found[size:] else {})

    def _messages_get(self, address: str, id_: str, query: Any, _body: Any) -> Any:
        found = self._one(address, id_)
        return found and _shown(found, query.get("format", "full"))

    def _threads_get(self, address: str, id_: str, query: Any, _body: Any) -> Any:
        found = [each for each in self._of(address) if each.thread == id_]
        return {"id": id_, "messages": [_shown(each, query.get("format", "full")) for each in found]} if found else None

    def _drafts_list(self, address: str, _id: str, query: Any, _body: Any) -> Any:
        drafts = ((name, self._one(address, id_)) for name, id_ in self._drafts.get(address, {}).items())
        found = [(name, each) for name, each in drafts if each and _matches(each, query.get("q", ""))]
        listed = [{"id": name, "message": {"id": each.id, "threadId": each.thread}} for name, each in found]
        return {"resultSizeEstimate": len(listed)} | ({"drafts": listed} if listed else {})

    def _drafts_get(self, address: str, id_: str, query: Any, _body: Any) -> Any:
        found = self._one(address, self._drafts.get(address, {}).get(id_, ""))
        return found and {"id": id_, "message": _shown(found, query.get("format", "full"))}

    def _drafts_create(self, address: str, _id: str, _query: Any, body: Any) -> Any:
        name = f"r-{next(self._numbers)}"
        return self._drafted(address, name, body)

    def _drafts_update(self, address: str, id_: str, _query: Any, body: Any) -> Any:
        return self._drafted(address, id_, body) if self._drafts_delete(address, id_, None, None) else None

    def _drafts_delete(self, address: str, id_: str, _query: Any, _body: Any) -> Any:
        message = self._drafts.get(address, {}).pop(id_, None)
        self._mail[address] = [each for each in self._of(address) if each.id != message]
        return message

    def _drafts_send(self, address: str, _id: str, _query: Any, body: Any) -> Any:
        found = self._one(address, self._drafts.get(address, {}).get(body.get("id", ""), ""))
        if found is None:
            return None
        self._drafts_delete(address, body["id"], None, None)
        self.sent.append(found.raw)
        kept = self._keep(address, found.raw, frozenset({"SENT"}), found.thread)
        return {"id": kept.id, "threadId": kept.thread, "labelIds": ["SENT"]}

    def _drafted(self, address: str, name: str, body: Any) -> Any:
        message = body["message"]
        kept = self._keep(address, _bytes(message["raw"]), frozenset({"DRAFT"}), message.get("threadId", ""))
        self._drafts.setdefault(address, {})[name] = kept.id
        return {"id": name, "message": {"id": kept.id, "threadId": kept.thread, "labelIds": ["DRAFT"]}}

    def _one(self, address: str, id_: str) -> Kept | None:
        return next((each for each in self._of(address) if each.id == id_), None)

    def drafts_of(self, address: str) -> list[str]:
        """The names of a mailbox's drafts."""
        return list(self._drafts.get(address, {}))

    def edit_draft(self, address: str, old: bytes, new: bytes) -> None:
        """Change a draft as a person does in Gmail."""
        for name, id_ in list(self._drafts[address].items()):
            kept = self._one(address, id_)
            assert kept
            self._mail[address].remove(kept)
            other = replace(kept, id=f"{next(self._numbers):x}", raw=kept.raw.replace(old, new))
            self._mail[address].append(other)
            self._drafts[address][name] = other.id


def _shown(kept: Kept, form: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": kept.id, "threadId": kept.thread, "labelIds": sorted(kept.labels)}
    shown |= {"internalDate": str(kept.at), "sizeEstimate": len(kept.raw), "historyId": "1"}
    if form == "raw":
        return shown | {"raw": urlsafe_b64encode(kept.raw).decode()}
    shown |= {"snippet": read(kept.raw).text[:200].replace("<", "&lt;")}
    return shown | ({"payload": _part(message_from_bytes(kept.raw))} if form == "full" else {})


def _part(message: Any) -> dict[str, Any]:
    headers = [{"name": name, "value": str(value)} for name, value in message.items()]
    part: dict[str, Any] = {"mimeType": message.get_content_type(), "filename": message.get_filename() or ""}
    part |= {"headers": headers}
    if message.is_multipart():
        return part | {"parts": [_part(each) for each in message.get_payload()]}
    return part | {"body": {"size": len(message.get_payload())}}


def _matches(kept: Kept, query: str) -> bool:
    parsed = read(kept.raw)
    text = "\n".join((parsed.sender_name, parsed.sender_email, *parsed.to, parsed.subject, parsed.text)).casefold()
    facts = {
        "in:inbox": "INBOX" in kept.labels,
        "in:sent": "SENT" in kept.labels,
        "in:drafts": "DRAFT" in kept.labels,
        "in:chats": False,
        "is:unread": "UNREAD" in kept.labels,
        "is:read": "UNREAD" not in kept.labels,
    }
    for term in shlex.split(query.replace("'", r"\'")):
        found = _QUERY.fullmatch(term)
        if found is None or f'"{term}"' in query:
            holds = term.casefold() in text
        elif found[2] == "from":
            holds = found[3].lower() in parsed.sender_email
        elif found[2] == "rfc822msgid":
            holds = found[3] == parsed.message_id
        else:
            holds = facts[f"{found[2]}:{found[3]}"] != bool(found[1])
        if not holds:
            return False
    return True


def _bytes(raw: str) -> bytes:
    return urlsafe_b64decode(raw + "=" * (-len(raw) % 4))


def _problem(schema: str, value: Any) -> str | None:
    found = next(iter(_VALIDATORS[schema].iter_errors(value)), None)
    return None if found is None else f"Invalid value at {'.'.join(map(str, found.path))}: {found.message}"


def _described(part: Any) -> Any:
    """Google's form of a schema as JSON Schema: objects have no other members, references are paths."""
    if isinstance(part, list):
        return [_described(each) for each in part]
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("$ref"), str):
        return {"$ref": f"#/definitions/{part['$ref']}"}
    closed = {"additionalProperties": False} if "properties" in part else {}
    return closed | {name: _described(each) for name, each in part.items() if name != "format"}


_DEFINITIONS = {name: _described(schema) for name, schema in DESCRIPTION["schemas"].items()}
_VALIDATORS = {
    name: Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": _DEFINITIONS}) for name in _DEFINITIONS
}


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": status, "message": message, "status": "ERROR"}}, status)
