"""Tryton as a CRM: contacts and accounts are parties, deals opportunities, orders sales, activities notes.

`docs/back-ends/tryton.md` says what is what, and how it is made sure that a change happens once.
"""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeVar

from connectors.contract import CallContext, Output, Tool
from connectors.crm import tryton_deals, tryton_parties
from connectors.crm.changing import mark_of
from connectors.crm.remote import RemoteCrm
from connectors.crm.tools import (
    Account,
    AccountPage,
    Activity,
    Contact,
    ContactPage,
    CreateContact,
    Deal,
    DealPage,
    GetAccount,
    GetContact,
    GetDeal,
    GetOrders,
    ListDeals,
    LogActivity,
    OrderPage,
    SearchAccounts,
    SearchContacts,
)
from connectors.crm.tryton_asked import accounts_asked, after, contacts_asked, deals_asked, orders_asked
from connectors.crm.tryton_declared import DeclaredTryton
from connectors.crm.tryton_rows import Opportunity, Party, Return, Sale, account_of, contact_of, deal_of, order_of
from connectors.crm.tryton_rpc import Domain, Readable, Rpc
from connectors.embedded.pages import page_of
from connectors.errors import Conflict, InvalidInput, NotFound, Unavailable
from connectors.vendor.ids import number_of, shown
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.site import Site

R = TypeVar("R", bound=Readable)
_PARTY = "party.party"
_CATEGORY, _RELATION, _LANGUAGE = "party.category", "party.relation.type", "ir.lang"
_NAMED = {_CATEGORY: "party category", _RELATION: "type of relation"}
_RETURNED = ("confirmed", "processing", "done")


class TrytonCrm(RemoteCrm):
    """Implements `connectors.crm.tools.Crm` on a Tryton server, but for refunds.

    Args:
        declared: Which, and how the company uses it.
        surroundings: Where its credential is.
    """

    def __init__(self, declared: DeclaredTryton, surroundings: Surroundings) -> None:
        super().__init__("Tryton")
        self._declared = declared
        site = Site("Tryton", declared.url, declared.shown, inside=declared.inside)
        of_parties = [*declared.contact_fields.values(), *declared.account_fields.values()]
        own = {_PARTY: of_parties, tryton_deals.MODEL: [*declared.deal_fields.values()]}
        self._rpc = Rpc(site, declared.database, surroundings.credentials, own)
        self._ids: dict[tuple[str, str], int] = {}

    async def look(self, call: CallContext) -> str:
        """See `Declarable`."""
        declared = self._declared
        version = await self._rpc.version(call)
        await self._relation(call)
        for category in (declared.contacts, declared.accounts):
            await self._id(call, _CATEGORY, category)
        there = f"`{declared.contacts}`, `{declared.accounts}` and `{declared.relation}` are there"
        return f"Tryton {version}, database `{declared.database}`; {there}"

    async def close(self) -> None:
        """See `Declarable`."""
        await self._rpc.close()

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """See `RemembersEffects`."""
        if tool.output is Deal and await tryton_deals.was_fenced(self._rpc, call, mark_of(call)):
            return None
        return await super().find_effect(call, tool)

    async def _under_key(self, call: CallContext, tool: Tool, mark: str) -> Output | None:
        if tool.output is Contact:
            party = await tryton_parties.changed_under(self._rpc, call, mark)
            return await self.crm_get_contact(call, GetContact(contact_id=shown("con", party))) if party else None
        if tool.output is Deal:
            found = await tryton_deals.changed_under(self._rpc, call, mark)
            return await self.crm_get_deal(call, GetDeal(deal_id=shown("dea", found[0].id))) if found else None
        return await tryton_parties.logged_under(self._rpc, call, mark) if tool.output is Activity else None

    # Contacts and accounts

    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        await self._relation(call)
        asked = contacts_asked(args, self._declared)
        rows, cursor = await self._page(call, _PARTY, Party, asked, args)
        return ContactPage(contacts=[contact_of(row, self._declared) for row in rows], next_cursor=cursor)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        return contact_of(await self._party(call, "contact", args.contact_id), self._declared)

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        asked = accounts_asked(args, self._declared)
        rows, cursor = await self._page(call, _PARTY, Party, asked, args)
        return AccountPage(accounts=[account_of(row, self._declared) for row in rows], next_cursor=cursor)

    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        return account_of(await self._party(call, "account", args.account_id), self._declared)

    # Deals and orders

    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        asked = deals_asked(args, self._declared)
        rows, cursor = await self._page(call, tryton_deals.MODEL, Opportunity, asked, args)
        return DealPage(deals=[deal_of(row, self._declared) for row in rows], next_cursor=cursor)

    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        return deal_of(await self._opportunity(call, args.deal_id), self._declared)

    async def crm_get_orders(self, call: CallContext, args: GetOrders) -> OrderPage:
        asked = orders_asked(args, self._declared)
        rows, cursor = await self._page(call, "sale.sale", Sale, asked, args, by="create_date")
        if args.order_id and not rows:
            raise NotFound(f"there is no order `{args.order_id}`; find the right id first", field="order_id")
        given_back = await self._given_back(call, [row.id for row in rows])
        return OrderPage(orders=[order_of(row, given_back[row.id]) for row in rows], next_cursor=cursor)

    # What the tools that change something are made of

    async def _known_at(self, call: CallContext, email: str) -> str | None:
        known = await self.crm_search_contacts(call, SearchContacts(email=email, limit=1))
        return known.contacts[0].id if known.contacts else None

    async def _make_contact(self, call: CallContext, args: CreateContact) -> str:
        given = args.model_dump(exclude={"account_id"}, exclude_defaults=True) | {"language": args.language}
        values = await self._values(call, None, given)
        values["categories"] = [["add", [await self._id(call, _CATEGORY, self._declared.contacts)]]]
        if args.account_id:
            account = await self._party(call, "account", args.account_id)
            values["relations"] = [["create", [{"type": await self._relation(call), "to": account.id}]]]
        created = await self._rpc.act(call, f"{_PARTY}.create", [values])
        return shown("con", created[0])

    async def _change_contact(self, call: CallContext, current: Contact, changed: Mapping[str, Any]) -> None:
        row = await self._party(call, "contact", current.id)
        _refuse_other(contact_of(row, self._declared), current)
        values = await self._values(call, row, changed)
        await self._rpc.act(call, f"{_PARTY}.write", [row.id], values, unchanged=row.stamps)

    async def _values(self, call: CallContext, row: Party | None, changed: Mapping[str, Any]) -> dict[str, Any]:
        """What to write of a contact, with the mark of the key."""
        values = tryton_parties.written(row, changed, mark_of(call))
        if "language" in changed:
            values["lang"] = await self._id(call, _LANGUAGE, changed["language"])
        names, besides = {"name": "name", **self._declared.contact_fields}, ("email", "phone", "language")
        return values | self._renamed("contact", changed, names, besides)

    async def _change_deal(self, call: CallContext, current: Deal, changed: Mapping[str, Any]) -> None:
        row, mark = await self._opportunity(call, current.id), mark_of(call)
        _refuse_other(deal_of(row, self._declared), current)
        if changed.keys() == {"stage"}:
            await tryton_deals.move(self._rpc, call, row, changed["stage"], mark)
        elif "stage" in changed:
            raise InvalidInput("Tryton moves a deal by a step of its own: change its `stage` alone", field="stage")
        else:
            names = {"amount": "amount", "close_date": "end_date", **self._declared.deal_fields}
            await tryton_deals.write(self._rpc, call, row, self._renamed("deal", changed, names), mark)

    async def _log(self, call: CallContext, args: LogActivity, text: str) -> Activity | None:
        account = await self._party(call, "account", args.account_id) if args.account_id else None
        contact = await self._party(call, "contact", args.contact_id) if args.contact_id else None
        if account and contact and contact_of(contact, self._declared).account_id != args.account_id:
            raise InvalidInput("the contact belongs to another account; leave one of them out", field="account_id")
        about = next(filter(None, (contact, account)))
        return await tryton_parties.log(self._rpc, call, about, text, mark_of(call))

    # Asking

    async def _page(
        self,
        call: CallContext,
        model: str,
        row: type[R],
        asked: Domain,
        args: SearchContacts | SearchAccounts | ListDeals | GetOrders,
        by: Literal["last_modified_at", "create_date"] = "last_modified_at",
    ) -> tuple[list[R], str]:
        """A page of what is asked for, newest first, and the cursor of the next page."""
        rows = await self._rpc.search(call, model, row, [*asked, *after(args.cursor, by)], args.limit + 1, by)
        return page_of(rows, args.limit, lambda last: [getattr(last, by), last.id])

    async def _party(self, call: CallContext, what: Literal["contact", "account"], id_: str) -> Party:
        number = ["id", "=", number_of(id_, what, f"{what}_id")]
        category = self._declared.contacts if what == "contact" else self._declared.accounts
        if what == "contact":
            await self._relation(call)
        for row in await self._rpc.search(call, _PARTY, Party, [number, ["categories.name", "=", category]]):
            return row
        gone = [number, ["active", "=", False], ["replaced_by.categories.name", "=", category]]
        for row in await self._rpc.search(call, _PARTY, Party, gone):
            survivor = shown(id_[:3], row.replaced_by or 0)
            raise NotFound(f"{what} `{id_}` was merged into `{survivor}`; use that one", field=f"{what}_id")
        raise NotFound(f"there is no {what} `{id_}`; find the right id first", field=f"{what}_id")

    async def _opportunity(self, call: CallContext, id_: str) -> Opportunity:
        asked = [*deals_asked(ListDeals(), self._declared), ["id", "=", number_of(id_, "deal", "deal_id")]]
        for row in await self._rpc.search(call, tryton_deals.MODEL, Opportunity, asked):
            return row
        raise NotFound(f"there is no deal `{id_}`; find the right id first", field="deal_id")

    async def _given_back(self, call: CallContext, sales: list[int]) -> Mapping[int, Decimal]:
        """What sales that return others give back, by the one that they return."""
        total: dict[int, Decimal] = defaultdict(Decimal)
        wanted = [["origin", "in", [f"sale.sale,{sale}" for sale in sales]], ["state", "in", list(_RETURNED)]]
        for row in await self._rpc.search(call, "sale.sale", Return, wanted) if sales else []:
            total[int(row.origin.partition(",")[2])] -= row.total_amount
        return total

    async def _relation(self, call: CallContext) -> int:
        """The type of relation; were there none, contacts would seem to belong to nobody."""
        return await self._id(call, _RELATION, self._declared.relation)

    async def _id(self, call: CallContext, model: str, name: str) -> int:
        """The id of the oldest that has this name or code; once it is known it is asked for no more."""
        if known := self._ids.get((model, name)):
            return known
        wanted = ["code" if model == _LANGUAGE else "name", "=", name]
        if there := [each.id for each in await self._rpc.search(call, model, Readable, [wanted])]:
            self._ids[model, name] = min(there)
            return min(there)
        if model == _LANGUAGE:
            raise InvalidInput(f"Tryton has no language `{name}`", field="language")
        raise Unavailable(f"Tryton has no {_NAMED[model]} `{name}`; make it there, or declare another one")


def _refuse_other(now: Contact | Deal, current: Contact | Deal) -> None:
    if now.version != current.version:
        raise Conflict("it was changed by somebody else; read it again, then decide", field="version")


KIND = Kind("tryton", "crm", DeclaredTryton, TrytonCrm, shows=("password",))
