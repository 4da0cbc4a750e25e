"""Changes to requests that know how a request is built: its JSON as a tree, its headers, its bytes."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from benchmarks.fuzzing.asgi import Request

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, -0.0, 0.1, 1e308, 5e-324, 49.999, 50.001, 500.01, "",
    " ", "0", "50", "true", "null", "\x00", "a\x00b", "\r\nBcc: x@evil.example", "\u202egnp", "\u200b", "\ufeff",
    "\ud800", "İ", "ß" * 3, "💣" * 50, "x" * 600, "x" * 30_000, "../../etc/passwd", "file:///etc/passwd",
    "http://169.254.169.254/", "{{7*7}}", "${jndi:ldap://x}", "'; DROP TABLE tokens; --", "1 OR 1=1", "*", "%", "_",
    "crm_*", "solved", "closed", "email", "support@larkspur.example", "support@evil.example",
    "SUPPORT@larkspur.example", "a@larkspur.example", "a@evil.example", "a@larkspur.example@evil.example",
    "a@larkspur.example\n", "a@LARKSPUR.example", "a@xn--larkspur-.example", [], [[]], {}, {"$ne": None},
    ["a@evil.example"], ["a@larkspur.example", "a@evil.example"], {"amount": 1}, "borealis", "larkspur",
    "person:eva@borealis.example", "2026-07-28", "2025-06-18", "1999-01-01", "tools/call", "crm_issue_refund",
    "email_send_message", "email_send_draft", "__class__", "constructor",
)  # fmt: skip
NAMES = (
    "arguments", "name", "params", "_meta", "id", "jsonrpc", "method", "tenant", "person", "agent", "principal",
    "approved", "approval", "policy", "admin", "__proto__", "amount", "to", "cc", "bcc", "mailbox", "status",
    "version", "limit", "cursor", "remit/key", "remit/run", "remit/grant", "remit/hold", "remit/reply",
    "remit/case", "io.modelcontextprotocol/protocolVersion", "progressToken", "requestState", "inputResponses",
    "task", "x" * 300, "", "\u0430mount",
)  # fmt: skip
METHODS = (
    "tools/call", "tools/list", "ping", "initialize", "server/discover", "notifications/initialized",
    "notifications/cancelled", "resources/list", "resources/read", "prompts/get", "completion/complete",
    "logging/setLevel", "sampling/createMessage", "elicitation/create", "roots/list", "subscriptions/listen",
    "tasks/get", "tools/CALL", "tools/call ", "rpc.discover", "",
)  # fmt: skip
HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (
        b"mcp-protocol-version",
        (b"2026-07-28", b"2025-11-25", b"2025-06-18", b"2024-11-05", b"9999-99-99", b"", b"\xff"),
    ),
    (b"mcp-method", (b"tools/call", b"tools/list", b"ping", b"", b"\xff\xfe")),
    (b"mcp-name", (b"crm_get_contact", b"crm_issue_refund", b"", b"=?base64?Y3Jt?=", b"\xc3\xa9")),
    (b"mcp-session-id", (b"x", b"0" * 32, b"../x", b"\xff" * 20, b"")),
    (
        b"content-type",
        (b"application/json", b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data", b""),
    ),
    (b"accept", (b"application/json", b"text/event-stream", b"*/*", b"", b"image/png;q=\xff")),
    (b"host", (b"127.0.0.1:8000", b"evil.example", b"localhost:8000", b"127.0.0.1:8000.evil.example", b"")),
    (b"origin", (b"http://127.0.0.1:8000", b"https://evil.example", b"null", b"")),
    (b"content-encoding", (b"gzip", b"br", b"identity")),
    (b"content-length", (b"0", b"-1", b"99999999999", b"1e3", b"x")),
    (b"x-forwarded-for", (b"10.0.0.1", b"\xff")),
    (b"last-event-id", (b"1", b"0/0", b"\xff")),
    (b"traceparent", (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"00-x", b"\xff" * 60)),
)
Node = dict[str, Any] | list[Any]


def places(node: object, depth: int = 0) -> Iterator[tuple[Node, Any]]:
    """Every place of a tree: a container and a key of it."""
    keys: Any = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        if depth < 12:
            yield from places(node[key], depth + 1)


def change_tree(random: Random, tree: dict[str, Any], pool: tuple[Any, ...]) -> None:
    """Make one change to a request's JSON.

    Args:
        random: Chooses.
        tree: The request; changed in place.
        pool: Values of the world that a place may get, such as ids of either tenant.
    """
    params = tree.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) else None
    # What lies in the arguments gets furthest; what lies above is mostly refused at once.
    within = arguments if isinstance(arguments, dict) and arguments and random.random() < 0.6 else tree
    if not tree:  # earlier changes took everything
        tree["id"] = 1
    node, key = random.choice(list(places(within)))
    # A copy: later changes of this request must not go into the next.
    value = deepcopy(random.choice(pool if random.random() < 0.4 else ODD))
    match random.randrange(10):
        case 0:
            node.pop(key)
        case 1 | 2:
            node[key] = value
        case 3 if isinstance(node, dict):
            node[random.choice(NAMES)] = value
        case 4 if isinstance(node, dict):
            node[random.choice(NAMES)] = node.pop(key)
        case 5:
            node[key] = random.choice(([node[key]], {"value": node[key]}, str(node[key]), [node[key]] * 30))
        case 6:
            other, there = random.choice(list(places(tree)))
            node[key], other[there] = _plain(other[there]), _plain(node[key])
        case 7 if within is tree:
            tree["method"] = random.choice(METHODS)
        case _:
            _deepen(random, node, key)


def _plain(value: object) -> object:
    """A copy: a tree that contains itself is no JSON."""
    return json.loads(json.dumps(value))


def _deepen(random: Random, node: dict[Any, Any] | list[Any], key: Any) -> None:
    for _ in range(random.choice((3, 30, 120))):
        node[key] = [node[key]] if random.random() < 0.5 else {"a": node[key]}


def _split(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at]


def _insert(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    put = random.choice(
        (b"\x00", b"\xff", b"}", b'"', b",", b"NaN", b"Infinity", b"\\ud800", b"\xef\xbb\xbf", b"/**/", b"[" * 2_000)
    )
    return body[:at] + put + body[at:]


def _flip(random: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _doubled_key(random: Random, body: bytes) -> bytes:
    """The same key twice with different values, before and behind: parsers disagree about which counts."""
    start = body.find(b'"arguments": {')
    if start < 0:
        return body
    put = b'"%s": %s' % (random.choice(NAMES).encode("utf-8"), json.dumps(random.choice(ODD)).encode())
    at = start + len(b'"arguments": {')
    empty = body[at : at + 1] == b"}"
    return body[:at] + put + (b"" if empty else b", ") + body[at:]


def _batch(_random: Random, body: bytes) -> bytes:
    return b"[" + body + b", " + body + b"]"


def _utf16(_random: Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode("utf-16")


BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _split,
    _insert,
    _insert,
    _flip,
    _flip,
    _doubled_key,
    _doubled_key,
    _batch,
    _utf16,
)


def change_bytes(random: Random, request: Request) -> Request:
    """Make one change to what is sent, below its JSON."""
    headers = list(request.headers)
    match random.randrange(6):
        case 0 | 1:
            name, values = random.choice(HEADERS)
            headers = [each for each in headers if each[0] != name or random.random() < 0.2]
            headers.append((name, random.choice(values)))
        case 2 if headers:
            headers.pop(random.randrange(len(headers)))
        case 3:
            method = random.choice(("GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH", "POST", "post", "TRACE"))
            path = random.choice((request.path, "/mcp/", "/mcp?x=1", "//mcp", "/mcp/../console", "/mcp%00", "/grants"))
            return Request(method, path, request.headers, request.body)
        case _:
            return Request(request.method, request.path, request.headers, random.choice(BYTES)(random, request.body))
    return Request(request.method, request.path, tuple(headers), request.body)
