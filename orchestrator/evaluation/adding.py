"""Makes a case of a real run: its input, what it read without personal data, and what a person corrected."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.durable.store import Done, Kept
from orchestrator.evaluation.cases import Shared, World
from orchestrator.evaluation.grading import at
from orchestrator.walk import changed, objects

FIRST = ("Alex", "Bea", "Chris", "Dana", "Eli", "Fay", "Gil", "Hana", "Ivo", "Jude", "Kit", "Lou")
_NAMES = ("name", "sender_name", "requester_name", "author", "account_name")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\d(?:[ ()/.-]{0,2}\d){6,}")
_LETTERS = re.compile(r"[^\W\d_]{3,}")


def case_of(kept: Kept, steps: Mapping[str, Done], shared: Shared, right: Mapping[str, str]) -> dict[str, Any]:
    """A case as its file has it; a person looks through it before it counts.

    Args:
        kept: The run.
        steps: Its steps.
        shared: The set that it is for.
        right: What a person says is right, by the names of the set's `outcome`; YAML where the run gave no text.
    """
    outputs = {name: json.loads(step.output) for name, step in steps.items()}
    results = [outputs[name].get("result") for name, step in steps.items() if step.kind == "call"]
    records = {each["id"]: each for each in objects(results) if "id" in each}
    world = _world(records, [each for each in objects(results) if "document_id" in each])
    named = {record.pop("was"): record["id"] for some in world.values() for record in some}
    told = {name: at(json.loads(kept.result or "{}"), path) for name, path in shared.outcome.items()}
    expect: dict[str, Any] = {
        "outcome": {name: value for name, value in told.items() if value is not None}
        | {name: value if isinstance(told.get(name), str) else yaml.safe_load(value) for name, value in right.items()}
    }
    notes = [kept.why] if kept.why else []
    for name, proposal in outputs.items():
        answer = outputs.get(name.removesuffix(".proposal")) if name.endswith(".proposal") else None
        if not isinstance(answer, dict):
            continue
        notes += [answer["note"]] if answer.get("note") else []
        if answer.get("choice") == "reject":
            expect.setdefault("calls_not", []).append(proposal["tool"])
        for part, value in (answer.get("edited") or {}).items():
            expect.setdefault("arguments", {})[f"{proposal['tool']}.{part}"] = {"equals": value}
    case = {
        "note": "; ".join(notes),
        "tags": ["real"],
        "world": world,
        "input": json.loads(kept.given),
        "expect": expect,
    }
    instead = _fictitious(results, named)
    safe: dict[str, Any] = changed(case, lambda text, _: _safe(text, instead))
    return {"id": re.sub(r"[^a-z0-9_-]", "-", kept.id.lower())[:60]} | safe


def _world(records: Mapping[str, dict[str, Any]], passages: list[dict[str, Any]]) -> World:
    """Records in the short form of `remit sample --from-file`, each with the id that it had under `was`."""
    kinds: World = {"customers": [], "orders": [], "tickets": [], "mails": [], "documents": []}

    def add(kind: str, was: str, **fields: Any) -> None:  # noqa: ANN401 - as the short form has it
        kinds[kind].append({"id": f"{kind[:-1]}{len(kinds[kind]) or ''}", "was": was, **fields})

    for id_, each in records.items():
        if id_.startswith("con_"):
            company = each.get("account_name", "")
            add("customers", id_, name=each["name"], email=each["email"], company=company, language=each["language"])
        elif id_.startswith("tic_") and "comments" in each:
            first, *later = ({"sender": each["requester_email"], **_said(said)} for said in each["comments"])
            fields = {name: each[name] for name in ("subject", "priority", "tags")}
            add("tickets", id_, name=each["requester_name"], **fields, **first, later=later)
        elif id_.startswith("thr_"):
            first, *later = (
                {"sender": said["sender_email"], "subject": said["subject"], **_said(said)} for said in each["messages"]
            )
            add("mails", id_, **first, mailbox=each["mailbox"], later=later)
    owners = {customer["was"]: customer["id"] for customer in kinds["customers"]}
    for id_, each in records.items():
        if id_.startswith("ord_") and each.get("contact_id") in owners:
            fields = {name: each[name] for name in ("number", "status", "currency", "total")}
            add("orders", id_, customer=owners[each["contact_id"]], **fields)
    for each in {passage["document_id"]: passage for passage in passages}.values():
        add("documents", each["document_id"], **{name: each[name] for name in ("title", "text", "origin")})
    return kinds


def _said(said: Mapping[str, Any]) -> dict[str, Any]:
    name = said.get("sender_name") or said.get("author") or ""
    by_staff = said.get("folder") == "sent" or bool(said.get("by_staff"))
    return {"body": said["body"], "name": name, "by_staff": by_staff}


def _fictitious(results: Any, named: Mapping[str, str]) -> dict[str, str]:  # noqa: ANN401 - JSON
    """What stands in the case for each id, address and name of a person or company, the longest first."""
    texts = json.dumps(results, ensure_ascii=False)
    staff = {each["mailbox"].rpartition("@")[2] for each in objects(results) if "mailbox" in each}
    found = {old: f"${new}" for old, new in named.items()}
    outside = [each for each in dict.fromkeys(_ADDRESS.findall(texts)) if each.rpartition("@")[2] not in staff]
    found |= {each: f"customer{number}@customer.example" for number, each in enumerate(outside, start=1)}
    names = dict.fromkeys(str(each[part]) for each in objects(results) for part in _NAMES if each.get(part))
    for number, name in enumerate(names):
        new = f"{FIRST[number % len(FIRST)]} Arden{number // len(FIRST) or ''}"
        found |= {name: new} | {part: FIRST[number % len(FIRST)] for part in _LETTERS.findall(name)} | found
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _safe(text: str, found: Mapping[str, str]) -> str:
    for old, new in found.items():
        text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new.replace("\\", r"\\"), text, flags=re.IGNORECASE)
    return _NUMBER.sub(lambda number: re.sub(r"\d", "5", number.group()), text)
