"""What the CRM tools ask for, as conditions in Tryton's form."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar, get_args

from connectors.crm.tools import GetOrders, ListDeals, SearchAccounts, SearchContacts
from connectors.crm.tryton_rows import ORDERED, STAGES, Changing
from connectors.crm.tryton_rpc import Domain, containing, exactly
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import InvalidInput
from connectors.fields import Currency
from connectors.vendor.ids import number_of

R = TypeVar("R", bound=Changing)
_OURS: Domain = ["currency.code", "in", list(get_args(Currency))]
_NOTHING: Domain = ["id", "<", 0]


def contacts_asked(args: SearchContacts, relation: int, title: str | None) -> Domain:
    """Which contacts are asked for.

    Args:
        args: What is asked.
        relation: The type of relation by which they belong to accounts.
        title: The company's own field for the title.
    """

    def clauses(word: str) -> Domain:
        at = ["relations", "where", [["type", "=", relation], ["to.name", "ilike", word]]]
        return [["name", "ilike", word], _reached("email", word), at, *([[title, "ilike", word]] if title else [])]

    asked: Domain = _words(args.query, clauses)
    if args.email:
        asked.append(_reached("email", exactly(args.email)))
    if args.account_id:
        account = number_of(args.account_id, "account", "account_id")
        asked.append(["relations", "where", [["type", "=", relation], ["to", "=", account]]])
    return asked


def accounts_asked(
    args: SearchAccounts, tiers: Mapping[str, str], statuses: Mapping[str, str], industry: str | None
) -> Domain:
    """Which accounts are asked for.

    Args:
        args: What is asked.
        tiers: The category that says each tier.
        statuses: The category that says each status.
        industry: The company's own field for the industry.
    """

    def clauses(word: str) -> Domain:
        places = [["addresses.country.code", "ilike", word], ["addresses.country.name", "ilike", word]]
        own = [[industry, "ilike", word]] if industry else []
        return [["name", "ilike", word], _reached("website", word), *places, *own]

    asked = _words(args.query, clauses)
    if args.tier:
        asked.append(_in_category(args.tier, tiers, "standard"))
    if args.status:
        asked.append(_in_category(args.status, statuses, "active"))
    return asked


def deals_asked(args: ListDeals, accounts: str) -> Domain:
    """Which opportunities are asked for: of parties of this category alone, and in money that we know."""
    asked: Domain = [_OURS, ["party.categories.name", "=", accounts]]
    if args.account_id:
        asked.append(["party", "=", number_of(args.account_id, "account", "account_id")])
    if args.stage:
        asked.append(["state", "in", [state for state, stage in STAGES.items() if stage == args.stage]])
    if args.owner:
        name = exactly(args.owner)
        mail = ["employee.party.contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", name]]]
        asked.append(["OR", ["employee.party.name", "ilike", name], mail])
    return asked


def orders_asked(args: GetOrders, accounts: str) -> Domain:
    """Which sales are asked for: orders, of parties of this category alone, and in money that we know."""
    not_returns = ["OR", ["origin", "=", None], ["origin", "not like", "sale.sale,%"]]
    asked: Domain = [_OURS, ["party.categories.name", "=", accounts], ["state", "in", list(ORDERED)], not_returns]
    if args.order_id:
        asked.append(["id", "=", number_of(args.order_id, "order", "order_id")])
    if args.number:
        asked.append(["number", "ilike", exactly(args.number)])
    if args.account_id:
        asked.append(["party", "=", number_of(args.account_id, "account", "account_id")])
    if args.contact_id:
        asked.append(["contact.party", "=", number_of(args.contact_id, "contact", "contact_id")])
    return asked


def reached_at(email: str) -> Domain:
    """The condition for whoever has this email address."""
    return _reached("email", exactly(email))


def after(cursor: str, by: str) -> Domain:
    """The condition for what comes after a page, by falling time and id.

    Args:
        cursor: The page's; empty for the first page.
        by: The field with the time.

    Raises:
        InvalidInput: If the cursor was not made here.
    """
    if not cursor:
        return []
    at, last = decode_cursor(cursor, (str, int))
    try:
        moment = datetime.fromisoformat(str(at)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            "not a cursor of this tool; leave `cursor` out to start from the first page", field="cursor"
        ) from None
    return [["OR", [[by, "<", moment]], [[by, "=", moment], ["id", "<", last]]]]


def page_of(rows: list[R], limit: int, at: Callable[[R], datetime]) -> tuple[list[R], str]:
    """One page of rows of which one too many was asked for, and the cursor of the next page."""
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]
    return rows[:limit], encode_cursor([at(last).isoformat(), last.id])


def _words(query: str, clauses: Callable[[str], Domain]) -> Domain:
    """Every word of a query is in one of the places."""
    return [["OR", *clauses(containing(word))] for word in dict.fromkeys(query.split())]


def _reached(type_: str, pattern: str) -> Domain:
    return ["contact_mechanisms", "where", [["type", "=", type_], ["value", "ilike", pattern]]]


def _in_category(wanted: str, categories: Mapping[str, str], otherwise: str) -> Domain:
    if wanted in categories:
        return ["categories.name", "=", categories[wanted]]
    if wanted != otherwise:
        return _NOTHING
    return ["categories", "not where", [["name", "in", list(categories.values())]]]
