"""Entries as security events: OCSF 1.3.0, class API Activity (6003). For reading, not for proof."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from connectors.contract import Effect, Idempotency
from connectors.registry import TOOLS
from gateway.journal.chain import Key, Stored
from gateway.journal.entry import Entry, from_row

_ACTIVITIES = {0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Send"}
_TOOLS = {tool.name: tool for tool in TOOLS}
_EFFECTS = frozenset(Effect)
_STATUSES = {0: "Unknown", 1: "Success", 2: "Failure"}
_FAILED = frozenset({"unknown_tool", "invalid", "denied", "turned_away"})


def to_ocsf(entries: Iterable[tuple[Stored, Key | None]]) -> Iterator[str]:
    """Write each entry, opened unless it is erased, as one event, a JSON object in ASCII without a line break."""
    for stored, key in entries:
        entry = from_row(stored.position, stored.row, key and key.key)
        yield json.dumps(_without_nothing(_event(stored, entry)), separators=(",", ":"))


def _event(stored: Stored, entry: Entry) -> dict[str, Any]:
    row, body = stored.row, entry.body
    activity, status = _activity(str(body.get("tool")), body.get("effect")), _status(row.kind, body.get("status"))
    person, agent, client = body.get("person"), body.get("agent"), body.get("client")
    return {
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": _ACTIVITIES[activity],
        "type_uid": 600_300 + activity,
        "severity_id": 1,
        "severity": "Informational",
        "status_id": status,
        "status": _STATUSES[status],
        "status_code": body.get("status") or row.kind,
        "status_detail": body.get("reason") or body.get("error"),
        "time": int(datetime.fromisoformat(row.at).timestamp() * 1_000),
        "message": f"{row.kind}: {body.get('tool', '')}",
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "Remit", "vendor_name": "Remit"},
            "log_name": "journal",
            "event_code": row.kind,
            "sequence": stored.position,
            "uid": stored.hash.hex(),
            "correlation_uid": row.call_id,
            "tenant_uid": row.tenant,
            "original_time": row.at,
        },
        "actor": {"user": {"name": person} if person else None, "app_name": agent or client or row.principal},
        "api": {"operation": str(body.get("tool")), "service": {"name": "remit"}, "request": {"uid": row.call_id}},
        "src_endpoint": {"name": client or "unknown"},
        "resources": [{"uid": seen} for seen in body.get("saw", [])],
        "unmapped": {"body": body, "once": row.once, "erased": entry.erased or None},
    }


def _activity(tool: str, effect: str | None) -> int:
    declared = _TOOLS.get(tool)
    if declared is None:
        # Of an upstream server's tool, the entry about its effect says what that was.
        return {Effect.READ: 2, Effect.DELETE: 4, Effect.SEND: 99}.get(Effect(effect), 1) if effect in _EFFECTS else 0
    if declared.effect is Effect.WRITE:
        # What carries the version of the record that it changes is a change; what does not makes a new one.
        return 3 if declared.idempotency is Idempotency.VERSION else 1
    return {Effect.READ: 2, Effect.DELETE: 4, Effect.SEND: 99}[declared.effect]


def _status(kind: str, status: str | None) -> int:
    if status in {"failed", "timeout", "cancelled", "interrupted"} or kind in _FAILED:
        return 2
    return 1 if status == "ok" else 0


def _without_nothing(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nothing(part) if isinstance(part, dict) and name != "body" else part
        for name, part in value.items()
        if part not in (None, [], {})
    }
