"""What the CRM tools ask for, as conditions in Tryton's form."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import get_args

from connectors.crm.tools import GetOrders, ListDeals, SearchAccounts, SearchContacts
from connectors.crm.tryton_declared import DeclaredTryton
from connectors.crm.tryton_rows import ORDERED, STAGES
from connectors.crm.tryton_rpc import Domain, containing, exactly
from connectors.embedded.pages import decode_cursor
from connectors.fields import Currency
from connectors.vendor.ids import number_of

_OURS: Domain = ["currency.code", "in", list(get_args(Currency))]


def contacts_asked(args: SearchContacts, declared: DeclaredTryton) -> Domain:
    """Which parties are asked for as contacts."""
    works_for = ["type.name", "=", declared.relation]

    def places(word: str) -> Domain:
        account = ["relations", "where", [works_for, ["to.name", "ilike", word]]]
        return [
            ["name", "ilike", word],
            _reached("email", word),
            account,
            *_own(declared.contact_fields, "title", word),
        ]

    asked = [["categories.name", "=", declared.contacts], *_words(args.query, places)]
    if args.email:
        asked.append(_reached("email", exactly(args.email)))
    if args.account_id:
        asked.append(["relations", "where", [works_for, *_is("to", "account", args.account_id)]])
    return asked


def accounts_asked(args: SearchAccounts, declared: DeclaredTryton) -> Domain:
    """Which parties are asked for as accounts."""

    def places(word: str) -> Domain:
        country = [["addresses.country.code", "ilike", word], ["addresses.country.name", "ilike", word]]
        own = _own(declared.account_fields, "industry", word)
        return [["name", "ilike", word], _reached("website", word), *country, *own]

    asked = [["categories.name", "=", declared.accounts], *_words(args.query, places)]
    if args.tier:
        asked.append(_in_category(args.tier, declared.tiers, "standard"))
    if args.status:
        asked.append(_in_category(args.status, declared.statuses, "active"))
    return asked


def deals_asked(args: ListDeals, declared: DeclaredTryton) -> Domain:
    """Which opportunities are asked for: of accounts alone, and in money that we know."""
    asked = [_OURS, ["party.categories.name", "=", declared.accounts], *_is("party", "account", args.account_id)]
    if args.stage:
        asked.append(["state", "in", [state for state, stage in STAGES.items() if stage == args.stage]])
    if args.owner:
        name = exactly(args.owner)
        mail = ["employee.party.contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", name]]]
        asked.append(["OR", ["employee.party.name", "ilike", name], mail])
    return asked


def orders_asked(args: GetOrders, declared: DeclaredTryton) -> Domain:
    """Which sales are asked for: orders, of accounts alone, and in money that we know."""
    not_returns = ["OR", ["origin", "=", None], ["origin", "not like", "sale.sale,%"]]
    ours = [_OURS, ["party.categories.name", "=", declared.accounts], ["state", "in", list(ORDERED)], not_returns]
    return [
        *ours,
        *_is("id", "order", args.order_id),
        *_is("party", "account", args.account_id),
        *_is("contact.party", "contact", args.contact_id),
        *([["number", "ilike", exactly(args.number)]] if args.number else []),
    ]


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
    at, last = decode_cursor(cursor, (datetime, int))
    return [["OR", [[by, "<", at]], [[by, "=", at], ["id", "<", last]]]]


def _is(field: str, what: str, id_: str | None) -> Domain:
    return [[field, "=", number_of(id_, what, f"{what}_id")]] if id_ else []


def _words(query: str, places: Callable[[str], Domain]) -> Domain:
    """Every word of a query is in one of the places."""
    return [["OR", *places(containing(word))] for word in dict.fromkeys(query.split())]


def _own(fields: Mapping[str, str], name: str, pattern: str) -> Domain:
    return [[fields[name], "ilike", pattern]] if name in fields else []


def _reached(type_: str, pattern: str) -> Domain:
    return ["contact_mechanisms", "where", [["type", "=", type_], ["value", "ilike", pattern]]]


def _in_category(wanted: str, categories: Mapping[str, str], otherwise: str) -> Domain:
    if wanted == otherwise and wanted not in categories:
        return ["categories", "not where", [["name", "in", list(categories.values())]]]
    # No category is without a name.
    return ["categories.name", "=", categories.get(wanted, "")]
