"""Requests from a number: the same number makes the same request, in the same world."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.fuzzing.asgi import Request
from benchmarks.fuzzing.model import CALLERS
from benchmarks.fuzzing.mutating import change_bytes, change_tree
from benchmarks.fuzzing.world import World
from gateway.principal import Principal

_UNCHANGED, _TREE, _BOTH = 0.08, 0.70, 0.82
"""Shares: requests as they should be, with changes to the tree, to tree and bytes; the rest to bytes."""
_BAD_TOKEN = 0.03


@dataclass(frozen=True)
class Asked:
    """A request, and what is known of it without the gateway.

    Args:
        request: What is sent.
        caller: Whose token it carries; None if the token opens nothing.
        unchanged: Whether it is as a good client would send it.
    """

    request: Request
    caller: Principal | None
    unchanged: bool


def asked(world: World, random: Random) -> Asked:
    """Make a request."""
    who = random.choice(CALLERS)
    # Of each tenant's ids the own ones mostly; the other's too, which must be like ids that do not exist.
    tenant = who.tenant if random.random() < 0.8 else random.choice(list(world.ids))
    tree = _message(random, world.ids[tenant], tenant)
    kind = random.random()
    if _UNCHANGED < kind < _BOTH:
        pool = tuple(each for ids in world.ids.values() for known in ids.values() for each in known)
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 6))):
            change_tree(random, tree, pool)
    good = random.random() >= _BAD_TOKEN
    token = world.tokens[who] if good else random.choice(world.bad_tokens)
    request = Request("POST", "/mcp", _headers(tree, token, world.sessions[who]), json.dumps(tree).encode())
    if kind > _TREE:
        for _ in range(random.choice((1, 1, 2, 3))):
            request = change_bytes(random, request)
    return Asked(request, who if good else None, kind <= _UNCHANGED and good)


def _message(random: Random, ids: dict[str, list[str]], tenant: str) -> dict[str, Any]:
    chosen = random.random()
    meta: dict[str, Any] = {}
    if random.random() < 0.8:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    if random.random() < 0.3:
        meta["remit/run"] = random.choice(("r1", "r2", "r3"))
    if random.random() < 0.1:
        meta["remit/key"] = f"k{random.randrange(50)}"
    if chosen < 0.86:
        params: dict[str, Any] = _call(random, ids, tenant)
        method = "tools/call"
    else:
        method, params = random.choice(("tools/list", "tools/list", "server/discover" if meta else "initialize")), {}
        if method == "initialize":
            params = {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "fuzz", "version": "1"},
            }
    return {"jsonrpc": "2.0", "id": random.choice((1, 7, "a")), "method": method, "params": {"_meta": meta, **params}}


def _headers(tree: dict[str, Any], token: str, session: str) -> tuple[tuple[bytes, bytes], ...]:
    params = tree.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get("io.modelcontextprotocol/protocolVersion") if isinstance(meta, dict) else None
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"authorization", b"Bearer " + token.encode()),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", _bytes(version or "2025-06-18")),
        (b"mcp-method", _bytes(tree.get("method", ""))),
    ]
    if version is None and tree.get("method") != "initialize":
        headers.append((b"mcp-session-id", session.encode()))
    if isinstance(params, dict) and "name" in params:
        headers.append((b"mcp-name", _bytes(params["name"])))
    return tuple(headers)


def _bytes(value: object) -> bytes:
    text = value if isinstance(value, str) else type(value).__name__
    return text[:2_000].replace("\r", "").replace("\n", "").encode("utf-8", "replace")


def _call(random: Random, ids: dict[str, list[str]], tenant: str) -> dict[str, Any]:
    mailbox = random.choice((f"support@{tenant}.example", f"sales@{tenant}.example"))
    to = random.choice(([f"a@{tenant}.example"], ["kim1@works1.example"], [f"a@{tenant}.example", "b@evil.example"]))

    amount = random.choice((1, 50, 50.01, 500, 500.01))

    def one(kind: str) -> str:
        return random.choice(ids[kind])

    name, arguments = random.choice((
        ("crm_search_contacts", {"query": "Kim"}),
        ("crm_get_contact", {"contact_id": one("con")}),
        ("crm_get_account", {"account_id": one("acc")}),
        ("crm_get_orders", {"order_id": one("ord")}),
        ("crm_update_contact", {"contact_id": one("con"), "version": 1, "title": "Dr"}),
        ("crm_log_activity", {"kind": random.choice(("note", "email")), "subject": "Called", "contact_id": one("con")}),
        ("crm_issue_refund", {"order_id": one("ord"), "amount": amount, "currency": "EUR", "reason": "late"}),
        ("ticket_search_tickets", {"query": "late"}),
        ("ticket_get_ticket", {"ticket_id": one("tic")}),
        ("ticket_add_note", {"ticket_id": one("tic"), "body": "n" * random.choice((5, 500, 501))}),
        ("ticket_update_ticket", {"ticket_id": one("tic"), "version": 1, "status": random.choice(("open", "solved"))}),
        ("ticket_add_reply", {"ticket_id": one("tic"), "body": "Hello"}),
        ("email_search_messages", {"mailbox": mailbox}),
        ("email_get_thread", {"mailbox": mailbox, "thread_id": one("thr")}),
        ("email_create_draft", {"mailbox": mailbox, "to": to, "subject": "Hello", "body": "Hello"}),
        ("email_send_message", {"mailbox": mailbox, "to": to, "subject": "Hello", "body": "Hello"}),
        ("email_reply_message", {"mailbox": mailbox, "message_id": one("msg"), "body": "Hello"}),
        ("knowledge_search_documents", {"query": "returns"}),
    ))  # fmt: skip
    return {"name": name, "arguments": arguments}
