"""Tryton as a CRM: contacts and accounts are parties, deals opportunities, orders sales, activities notes.

`docs/back-ends/tryton.md` says what is what, and how it is made sure that a change happens once.
"""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal, TypeVar

from connectors.contract import CallContext, Output, Tool
from connectors.crm import tryton_deals
from connectors.crm.changing import done, found, mark_of
from connectors.crm.notes import text_of
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
    UpdateContact,
    UpdateDeal,
)
from connectors.crm.tryton_asked import (
    accounts_asked,
    after,
    contacts_asked,
    deals_asked,
    orders_asked,
    page_of,
    reached_at,
)
from connectors.crm.tryton_declared import DeclaredTryton
from connectors.crm.tryton_parties import (
    Identifier,
    announce,
    code_of,
    logged_at,
    logged_under,
    marked_anew,
    mechanisms,
    reached_otherwise,
)
from connectors.crm.tryton_rows import (
    Changing,
    Opportunity,
    Party,
    Return,
    Sale,
    account_of,
    contact_of,
    deal_of,
    order_of,
)
from connectors.crm.tryton_rpc import Domain, Readable, Rpc
from connectors.embedded.queries import changes
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.ids import number_of, shown
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.site import Site

R = TypeVar("R", bound=Changing)
_OWN = ("title", "notes")
_RETURNED = ("confirmed", "processing", "done")


class _Merged(Readable):
    FIELDS: ClassVar[tuple[str, ...]] = ("replaced_by",)

    replaced_by: int | None


class TrytonCrm:
    """Implements `connectors.crm.tools.Crm` on a Tryton server, but for refunds.

    Args:
        declared: Which, and how the company uses it.
        surroundings: Where its credential is.
    """

    def __init__(self, declared: DeclaredTryton, surroundings: Surroundings) -> None:
        self._declared = declared
        site = Site("Tryton", declared.url, declared.shown, inside=declared.inside)
        self._rpc = Rpc(site, declared.database, surroundings.credentials)
        self._known: dict[tuple[str, str, str], tuple[int, ...]] = {}

    async def look(self, call: CallContext) -> str:
        """See `Declarable`."""
        declared = self._declared
        version = await self._rpc.version(call)
        await self._relation(call)
        for category in (declared.contacts, declared.accounts):
            await self._category(call, category)
        there = f"`{declared.contacts}`, `{declared.accounts}` and `{declared.relation}` are there"
        return f"Tryton {version}, database `{declared.database}`; {there}"

    async def close(self) -> None:
        """See `Declarable`."""
        await self._rpc.close()

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """See `RemembersEffects`."""
        if tool.output is Deal and await tryton_deals.was_fenced(self._rpc, call, mark_of(call)):
            return None
        return await found("Tryton", self._under_key(call, tool))

    async def _under_key(self, call: CallContext, tool: Tool) -> Output | None:
        if tool.output is Contact:
            return await self._contact_by(call, mark_of(call))
        if tool.output is Deal:
            row = await tryton_deals.changed_under(self._rpc, call, mark_of(call))
            return await self._get_deal(call, row.id) if row else None
        return await logged_under(self._rpc, call, mark_of(call)) if tool.output is Activity else None

    # Contacts and accounts

    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        relation = await self._relation(call)
        asked = contacts_asked(args, relation, self._declared.contact_fields.get("title"))
        rows, cursor = await self._parties(call, self._declared.contacts, asked, args.cursor, args.limit)
        fields = self._declared.contact_fields
        return ContactPage(contacts=[contact_of(row, relation, fields) for row in rows], next_cursor=cursor)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        return await self._contact(call, args.contact_id)

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        values: dict[str, Any] = {
            "name": args.name,
            "lang": await self._language(call, args.language),
            "categories": [["add", [await self._category(call, self._declared.contacts)]]],
            "contact_mechanisms": [["create", mechanisms(args.email, args.phone)]],
            "identifiers": [["create", [{"type": None, "code": code_of(mark_of(call))}]]],
            **self._own_fields({name: value for name in _OWN if (value := getattr(args, name))}),
        }
        if args.account_id:
            account = await self._party(call, "account", args.account_id)
            values["relations"] = [["create", [{"type": await self._relation(call), "to": account.id}]]]
        await self._refuse_known(call, args.email)
        created = await self._rpc.act(call, "party.party.create", [values])
        return await done(self._contact(call, shown("con", created[0])))

    async def crm_update_contact(self, call: CallContext, args: UpdateContact) -> Contact:
        row = await self._party(call, "contact", args.contact_id)
        current = contact_of(row, await self._relation(call), self._declared.contact_fields)
        changed = changes("contact", current, args)
        if "email" in changed:
            await self._refuse_known(call, changed["email"])
        values = {name: changed[name] for name in ("name",) if name in changed}
        values |= self._own_fields({name: changed[name] for name in _OWN if name in changed})
        if "language" in changed:
            values["lang"] = await self._language(call, changed["language"])
        values["contact_mechanisms"] = reached_otherwise(row, changed)
        values["identifiers"] = [marked_anew(row, mark_of(call))]
        await self._rpc.act(call, "party.party.write", [row.id], values, unchanged=row.stamps)
        return await done(self._contact(call, args.contact_id))

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        declared = self._declared
        asked = accounts_asked(args, declared.tiers, declared.statuses, declared.account_fields.get("industry"))
        rows, cursor = await self._parties(call, declared.accounts, asked, args.cursor, args.limit)
        return AccountPage(accounts=[self._account(row) for row in rows], next_cursor=cursor)

    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        return self._account(await self._party(call, "account", args.account_id))

    # Deals and orders

    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        asked = deals_asked(args, self._declared.accounts)
        rows, cursor = await self._page(
            call,
            tryton_deals.MODEL,
            Opportunity,
            asked,
            args.cursor,
            args.limit,
            [*self._declared.deal_fields.values()],
        )
        return DealPage(deals=[self._deal(row) for row in rows], next_cursor=cursor)

    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        return self._deal(await self._opportunity(call, args.deal_id))

    async def crm_update_deal(self, call: CallContext, args: UpdateDeal) -> Deal:
        row = await self._opportunity(call, args.deal_id)
        current = self._deal(row)
        if current.stage in ("won", "lost"):
            raise Conflict(f"deal `{current.id}` is already {current.stage} and cannot be changed", field="deal_id")
        changed = changes("deal", current, args)
        if changed.keys() == {"stage"}:
            await tryton_deals.move(self._rpc, call, row, changed["stage"], mark_of(call))
        elif "stage" in changed:
            raise InvalidInput("Tryton moves a deal by a step of its own: change its `stage` alone", field="stage")
        else:
            names = {"amount": "amount", "close_date": "end_date", **self._declared.deal_fields}
            if missing := changed.keys() - names.keys():
                raise InvalidInput("Tryton keeps no next step of a deal; leave it out", field=missing.pop())
            values = {names[ours]: value for ours, value in changed.items()}
            await tryton_deals.write(self._rpc, call, row, values, mark_of(call))
        return await done(self._get_deal(call, row.id))

    async def crm_get_orders(self, call: CallContext, args: GetOrders) -> OrderPage:
        asked = orders_asked(args, self._declared.accounts)
        rows, cursor = await self._page(call, "sale.sale", Sale, asked, args.cursor, args.limit, by="create_date")
        if args.order_id and not rows:
            raise NotFound(f"there is no order `{args.order_id}`; find the right id first", field="order_id")
        given_back = await self._given_back(call, [row.id for row in rows])
        return OrderPage(orders=[order_of(row, given_back[row.id]) for row in rows], next_cursor=cursor)

    # Activities

    async def crm_log_activity(self, call: CallContext, args: LogActivity) -> Activity:
        if not (args.contact_id or args.account_id):
            raise InvalidInput("give the `contact_id` or the `account_id` that it concerns", field="contact_id")
        account = await self._party(call, "account", args.account_id) if args.account_id else None
        contact = await self._party(call, "contact", args.contact_id) if args.contact_id else None
        if account and contact:
            own = contact.account(await self._relation(call))
            if own is None or own.id != account.id:
                raise InvalidInput("the contact belongs to another account; leave one of them out", field="account_id")
        about, mark = contact or account, mark_of(call)
        assert about  # noqa: S101 - one of them is given
        note = {"resource": f"party.party,{about.id}", "message": text_of(args, call.actor, mark)}
        await announce(self._rpc, call, about, mark)
        await self._rpc.act(call, "ir.note.create", [note])
        activity = await done(logged_at(self._rpc, call, about.id, mark))
        if activity is None:
            raise InDoubt("it was logged, and then could not be read")
        return activity

    # What the tools are made of

    async def _parties(
        self, call: CallContext, category: str, asked: Domain, cursor: str, limit: int
    ) -> tuple[list[Party], str]:
        fields = self._declared.contact_fields if category == self._declared.contacts else self._declared.account_fields
        asked = [["categories.name", "=", category], *asked]
        return await self._page(call, "party.party", Party, asked, cursor, limit, [*fields.values()])

    async def _page(
        self,
        call: CallContext,
        model: str,
        row: type[R],
        asked: Domain,
        cursor: str,
        limit: int,
        more: list[str] | None = None,
        by: Literal["last_modified_at", "create_date"] = "last_modified_at",
    ) -> tuple[list[R], str]:
        """A page of what is asked for, newest first, and the cursor of the next page."""
        rows = await self._rpc.search(
            call,
            model,
            row,
            [*asked, *after(cursor, by)],
            limit=limit + 1,
            order=[(by, "DESC"), ("id", "DESC")],
            more=more or [],
        )
        return page_of(rows, limit, lambda last: last.modified if by == "last_modified_at" else last.created)

    async def _party(self, call: CallContext, what: Literal["contact", "account"], id_: str) -> Party:
        number = number_of(id_, what, f"{what}_id")
        category = self._declared.contacts if what == "contact" else self._declared.accounts
        rows, _ = await self._parties(call, category, [["id", "=", number]], "", 1)
        if rows:
            return rows[0]
        gone = [["id", "=", number], ["active", "=", False], ["replaced_by.categories.name", "=", category]]
        for merged in await self._rpc.search(call, "party.party", _Merged, gone):
            survivor = shown(id_[:3], merged.replaced_by or 0)
            raise NotFound(f"{what} `{id_}` was merged into `{survivor}`; use that one", field=f"{what}_id")
        raise NotFound(f"there is no {what} `{id_}`; find the right id first", field=f"{what}_id")

    async def _contact(self, call: CallContext, id_: str) -> Contact:
        row = await self._party(call, "contact", id_)
        return contact_of(row, await self._relation(call), self._declared.contact_fields)

    def _account(self, row: Party) -> Account:
        declared = self._declared
        return account_of(row, declared.tiers, declared.statuses, declared.account_fields)

    async def _opportunity(self, call: CallContext, id_: str) -> Opportunity:
        asked = [*deals_asked(ListDeals(), self._declared.accounts), ["id", "=", number_of(id_, "deal", "deal_id")]]
        more = [*self._declared.deal_fields.values()]
        rows = await self._rpc.search(call, tryton_deals.MODEL, Opportunity, asked, more=more)
        if not rows:
            raise NotFound(f"there is no deal `{id_}`; find the right id first", field="deal_id")
        return rows[0]

    async def _get_deal(self, call: CallContext, number: int) -> Deal:
        return self._deal(await self._opportunity(call, shown("dea", number)))

    def _deal(self, row: Opportunity) -> Deal:
        return deal_of(row, self._declared.deal_fields)

    async def _given_back(self, call: CallContext, sales: list[int]) -> Mapping[int, Decimal]:
        """What sales that return others give back, by the one that they return."""
        total: dict[int, Decimal] = defaultdict(Decimal)
        wanted = [["origin", "in", [f"sale.sale,{sale}" for sale in sales]], ["state", "in", list(_RETURNED)]]
        for row in await self._rpc.search(call, "sale.sale", Return, wanted) if sales else []:
            total[int(row.origin.partition(",")[2])] -= row.total_amount
        return total

    async def _contact_by(self, call: CallContext, mark: str) -> Contact | None:
        for left in await self._rpc.search(call, "party.identifier", Identifier, [["code", "=", code_of(mark)]]):
            return await self._contact(call, shown("con", left.party))
        return None

    async def _refuse_known(self, call: CallContext, email: str) -> None:
        rows, _ = await self._parties(call, self._declared.contacts, [reached_at(email)], "", 1)
        if rows:
            known = shown("con", rows[0].id)
            raise Conflict(
                f"`{email}` already belongs to contact `{known}`; update that contact instead", field="email"
            )

    def _own_fields(self, given: Mapping[str, str]) -> dict[str, str]:
        """What to write into the company's own fields.

        Raises:
            InvalidInput: If there is none for something that is given.
        """
        fields = self._declared.contact_fields
        if missing := [ours for ours in given if ours not in fields]:
            raise InvalidInput(f"Tryton keeps no {missing[0]} of a contact; leave it out", field=missing[0])
        return {fields[ours]: value for ours, value in given.items()}

    async def _language(self, call: CallContext, code: str) -> int:
        if not (there := await self._ids(call, "ir.lang", "code", code)):
            raise InvalidInput(f"Tryton has no language `{code}`", field="language")
        return there[0]

    async def _relation(self, call: CallContext) -> int:
        return await self._named(call, "party.relation.type", self._declared.relation, "type of relation")

    async def _category(self, call: CallContext, name: str) -> int:
        return await self._named(call, "party.category", name, "party category")

    async def _named(self, call: CallContext, model: str, name: str, what: str) -> int:
        if not (there := await self._ids(call, model, "name", name)):
            raise Unavailable(f"Tryton has no {what} `{name}`; make it there, or declare another one")
        return there[0]

    async def _ids(self, call: CallContext, model: str, field: str, value: str) -> tuple[int, ...]:
        """The ids of what has this name or code, the oldest first; once there are some they are asked for no more."""
        where = call.tenant, model, value
        if not self._known.get(where):
            there = await self._rpc.search(call, model, Readable, [[field, "=", value]])
            self._known[where] = tuple(sorted(each.id for each in there))
        return self._known[where]


KIND = Kind("tryton", "crm", DeclaredTryton, TrytonCrm, shows=("password",))
