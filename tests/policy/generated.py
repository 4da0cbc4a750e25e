"""Random policies and requests from a seed: well-formed, with everything that the rules can say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import TypeAlias

from connectors.contract import Confidentiality
from gateway.policy.files.lists import read_lists
from gateway.policy.language.check import check
from gateway.policy.language.flow import Flow, Integrity, Origin
from gateway.policy.language.history import History
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.language.parse import parse
from gateway.principal import Principal
from tests.policy.making import TOOLS

TENANTS = ("acme", "globex")
PEOPLE = ("ana", "eve", "team", "role:r0")
AGENTS = ("bot", "ana")
ROLES = tuple(f"role:r{number}" for number in range(5))
CALLED = ("crm_issue_refund", "crm_update_deal", "email_send_message", "email_update_draft", "ticket_update_ticket")
PATTERNS = (*CALLED, "crm_*", "crm_update_*", "email_*", "ticket_*", "*")
BY_NAME = {tool.name: tool for tool in TOOLS}

ADDRESSES = ("a@acme.example", "b@acme.example", "c@evil.example", "support@acme.example")
DOMAINS = ("acme.example", "evil.example")
ODD_TEXTS = ("", "x", "!", "a && b", "r.sub == p.sub", "eval(p.condition)", "') or True #", "ю")
AMOUNTS = ("0.01", "49.99", "50", "50.00", "51", "500", "1000000")

ATOMS: Mapping[str, tuple[str, ...]] = {
    "crm_issue_refund": (
        "args.amount {order} {amount}",
        "{amount} < args.amount <= {amount}",
        "args.amount == {amount}",
        "args.amount + total('crm_issue_refund', 'amount') {order} {amount}",
        "total('crm_update_deal', 'amount') {order} args.amount",
        "args.currency in ['EUR', 'USD']",
        "args.currency != 'EUR'",
        "args.note == {text}",
        "starts_with(args.note, {text})",
        "glob(args.note, '*a*')",
        "len(args.note) {order} 3",
        "origin(args.order_id) in ['request', 'organisation']",
        "origin(args.amount) == {origin}",
        "confidentiality(args.note) {order} {level}",
    ),
    "crm_update_deal": (
        "args.amount {order} {amount}",  # raises when no amount is given
        "args.amount is None",
        "args.amount == {amount}",
        "args.stage not in ['won', 'lost']",
        "args.close_date {order} now.date",  # raises when no date is given
        "'2026-03-01' {order} args.close_date < '2026-03-08'",
        "lower(args.next_step) == 'x'",
    ),
    "email_send_message": (
        "all_in(domain(args.to), [{domain}])",
        "all_in(domain(args.to), lists.ours)",
        "domain(args.mailbox) not in lists.ours",
        "any_in(domain(args.cc), [{domain}, 'other.example'])",
        "{address} in args.to",
        "len(args.cc) {order} 1",
        "args.mailbox == {address}",
        "domain(args.mailbox) == {domain}",
        "ends_with(args.mailbox, '.example')",
        "args.subject == {text}",
        "origin(args.to) not in ['request', 'organisation']",
        "origin(args.cc) != {origin}",
        "origin(args.to) == origin(args.cc)",
        "confidentiality(args.body) {order} audience(args.to)",
        "{level} {order} audience(args.cc)",
        "confidentiality(args.subject) in ['public', 'customer']",
        "first_time(args.to)",
    ),
    "email_update_draft": (
        "args.to is None",
        "any_in(args.to, [{address}])",  # raises when no recipients are given
        "args.version {order} 2",
        "origin(args.to) == {origin}",
        "not first_time(args.cc)",
    ),
    "ticket_update_ticket": (
        "any_in(args.tags, ['vip'])",
        "args.assignee == {address}",
        "domain(args.assignee) != {domain}",
        "args.status in ['solved', 'closed']",
    ),
}
COMMON = (
    "person.id == 'ana'",
    "agent.id is None",
    "person.id in ['ana', 'eve']",
    "tenant == 'acme'",
    "True",
    "1 > 2",
    "now.hour {order} 9",
    "now.weekday {order} 5",
    "now.weekday in lists.weekend",
    "now.date {order} '2026-03-07'",
    "now.date in ['2026-03-07', '2026-03-02']",
    "calls('crm_*') {order} 2",
    "calls('email_send_message') + calls('ticket_update_ticket') == 1",
    "run.saw_untrusted",
    "run.saw_private == True",
    "run.integrity in ['customer', 'anyone']",
    "'public' {order} run.confidentiality {order} {level}",
    "run.has_grant or run.is_intended",
    "run.denials + run.records {order} 3",
    "run.recent_calls {order} 2",
    "run.customers {order} 1",
)
FALLIBLE = ("lower(agent.id) == 'bot'", "starts_with(person.id, 'a')")


LISTS = "list, ours, acme.example\nlist, ours, other.example\nlist, weekend, 5\nlist, weekend, 6\n"
TIMES = tuple(datetime(2026, 3, day, hour, tzinfo=UTC) for day in (1, 2, 7) for hour in (8, 9, 10))
Request: TypeAlias = tuple[Principal, str, Mapping[str, object], datetime, History | None, Flow | None]


@dataclass(frozen=True)
class Generated:
    """One policy's files and some requests to it."""

    roles: str
    rules: str
    requests: tuple[Request, ...]
    lists: str = LISTS


def generated(seed: int, rules: int = 8, requests: int = 8) -> Generated:
    """A policy with so many rules, and so many requests."""
    random = Random(seed)
    return Generated(
        roles=_roles(random),
        rules="\n".join(rule_line(random, f"R{number}") for number in range(rules)),
        requests=tuple(request(random) for _ in range(requests)),
    )


def _roles(random: Random) -> str:
    links = [f"g, {role}, role:everyone, *" for role in ROLES]
    for number, role in enumerate(ROLES):
        links += [
            f"g, {role}, {other}, {random.choice((*TENANTS, '*'))}"
            for other in ROLES[number + 1 :]
            if random.random() < 0.25
        ]
    parties = [*(f"person:{name}" for name in PEOPLE), *(f"agent:{name}" for name in AGENTS)]
    for party in parties:
        links += [
            f"g, {party}, {random.choice(ROLES)}, {random.choice((*TENANTS, '*'))}" for _ in range(random.randrange(4))
        ]
    return "\n".join(links)


def rule_line(random: Random, id_: str, effect: str = "") -> str:
    """One rule whose condition is well-formed for the tools that it covers."""
    pattern = random.choice(PATTERNS)
    quoted = condition(random, pattern).replace('"', '""')
    chosen = effect or random.choice(("allow", "allow", "ask", "deny"))
    role = random.choice((*ROLES, "role:everyone"))
    return f'p, {id_}, {role}, {pattern}, "{quoted}", {chosen}, "note of {id_}"'


def condition(random: Random, pattern: str) -> str:
    """A condition that is well-formed for every tool that the pattern covers."""
    while True:
        written = _condition(random, tuple(name for name in CALLED if _covers(pattern, name)))
        if _is_sound(written, pattern):
            return written


def _covers(pattern: str, name: str) -> bool:
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def _is_sound(condition: str, pattern: str) -> bool:
    if not condition:
        return True
    node, _ = parse(condition, read_lists(LISTS, []))
    covered = (tool for tool in TOOLS if _covers(pattern, tool.name))
    return node is not None and not any(check(node, type_of_tool(tool)) for tool in covered)


def _condition(random: Random, tools: tuple[str, ...], depth: int = 0) -> str:
    kind = random.random()
    if depth == 0 and kind < 0.2:
        return ""
    if depth < 2 and kind < 0.5:
        word = random.choice((" and ", " or "))
        return "(" + word.join(_condition(random, tools, depth + 1) for _ in range(random.randrange(2, 4))) + ")"
    if depth < 3 and kind < 0.65:
        return f"not {_condition(random, tools, depth + 1)}"
    atoms = COMMON if kind < 0.75 else FALLIBLE if kind < 0.8 else ATOMS[random.choice(tools)]
    return random.choice(atoms).format(
        order=random.choice(("<", "<=", ">", ">=")),
        amount=random.choice(AMOUNTS),
        text=repr(random.choice(ODD_TEXTS)),
        domain=repr(random.choice(DOMAINS)),
        address=repr(random.choice(ADDRESSES)),
        origin=repr(random.choice(list(Origin)).value),
        level=repr(random.choice(list(Confidentiality)).value),
    )


def request(random: Random, tool: str = "") -> Request:
    """Someone, a tool, arguments as they are after validation, a time, what was done before, and the data flow."""
    person, agent = random.choice((*PEOPLE, None)), random.choice((*AGENTS, None))
    principal = Principal(random.choice((*TENANTS, "else")), person or (None if agent else "ana"), agent)
    tool = tool or random.choice(CALLED)
    given = arguments(random, tool)
    return principal, tool, given, random.choice(TIMES), _history(random), flow(random, tool)


def flow(random: Random, tool: str) -> Flow | None:
    """What is known of the data flow into a call: most often all that can be asked about, sometimes nothing at all."""
    if random.random() < 0.05:
        return None
    sinks = [path.removesuffix("[]") for path in BY_NAME[tool].sinks if random.random() < 0.95]
    return Flow(
        origins={name: random.choice(list(Origin)) for name in sinks},
        confidentiality={name: random.choice(list(Confidentiality)) for name in sinks},
        audience={name: random.choice(list(Confidentiality)) for name in sinks},
        first_time={name: random.random() < 0.5 for name in sinks},
        integrity=random.choice(list(Integrity)),
        seen=random.choice(list(Confidentiality)),
        has_grant=random.random() < 0.5,
        is_intended=random.random() < 0.5,
        denials=random.randrange(4),
        records=random.randrange(4),
        recent_calls=random.randrange(4),
        customers=random.randrange(3),
    )


def _history(random: Random) -> History | None:
    if random.random() < 0.05:
        return None
    earlier: dict[str, list[Mapping[str, object]]] = {}
    for tool in random.choices(CALLED, k=random.randrange(6)):
        earlier.setdefault(tool, []).append(arguments(random, tool))
    return History(earlier)


def arguments(random: Random, tool: str) -> Mapping[str, object]:
    """Arguments of a tool as they are after validation."""
    amount, text = Decimal(random.choice(AMOUNTS)), random.choice((*ODD_TEXTS, "banana", None))
    some = random.sample(ADDRESSES, random.randrange(1, 4))
    few = random.sample(ADDRESSES, random.randrange(3))
    made: Mapping[str, Mapping[str, object]] = {
        "crm_issue_refund": {
            "order_id": "ord_0001",
            "amount": amount,
            "currency": random.choice(("EUR", "USD", "PLN")),
            "note": text or "",
        },
        "crm_update_deal": {
            "amount": random.choice((amount, None)),
            "stage": random.choice(("won", None)),
            "next_step": text,
            "close_date": random.choice((date(2026, 3, 1), date(2026, 3, 5), None)),
        },
        "email_send_message": {
            "mailbox": random.choice(ADDRESSES),
            "to": some,
            "cc": few,
            "subject": text or "s",
            "body": "b",
        },
        "email_update_draft": {"mailbox": random.choice(ADDRESSES), "to": random.choice((some, None)), "version": 2},
        "ticket_update_ticket": {
            "tags": random.choice((["vip"], ["x"], [], None)),
            "assignee": random.choice((*ADDRESSES, None)),
            "status": random.choice(("solved", "open", None)),
        },
    }
    return made[tool]
