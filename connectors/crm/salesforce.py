"""Salesforce as a CRM.

`docs/back-ends/salesforce.md` says what is what, and how it is made sure that a change happens once.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

from connectors.contract import CallContext, Output, Tool
from connectors.crm.changing import done, mark_of
from connectors.crm.notes import activity_of
from connectors.crm.remote import RemoteCrm
from connectors.crm.salesforce_declared import DeclaredSalesforce
from connectors.crm.salesforce_rows import (
    ACCOUNT,
    CONTACT,
    DEAL,
    TASK,
    TIMES,
    Made,
    MergedRows,
    SalesforceFields,
    SalesforceRow,
    SalesforceRows,
    account_of,
    contact_of,
    deal_of,
    name_parts,
)
from connectors.crm.salesforce_soql import containing, id_of, moment, quoted, shown
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
    ListDeals,
    LogActivity,
    SearchAccounts,
    SearchContacts,
)
from connectors.embedded.pages import decode_cursor, not_a_cursor, page_of
from connectors.embedded.queries import holds
from connectors.errors import NotFound, Unavailable
from connectors.vendor.api import Api, segment
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.site import Site

Kinds = Literal["Contact", "Account", "Opportunity", "Task"]


class SalesforceCrm(RemoteCrm):
    """Implements `connectors.crm.tools.Crm` on Salesforce, but for orders and refunds.

    Args:
        declared: Which, and how the company uses it.
        surroundings: Where its credential is.
    """

    def __init__(self, declared: DeclaredSalesforce, surroundings: Surroundings) -> None:
        super().__init__("Salesforce")
        self._declared = declared
        site = Site(
            "Salesforce",
            declared.url,
            declared.shown,
            inside=declared.inside,
            explain=lambda body: str(body[0]["message"]),
        )
        self._api = Api(site, surroundings.credentials)
        self._path = f"/services/data/v{declared.version}"

    async def look(self, call: CallContext) -> str:
        """See `Declarable`."""
        key = self._declared.key
        for kind in ("Contact", "Opportunity", "Task"):
            described = await self._api.read(call, "GET", f"{self._path}/sobjects/{kind}/describe")
            fields = {field.name: field for field in described.as_(SalesforceFields).fields}
            if not (key in fields and fields[key].is_external_id and fields[key].is_unique):
                raise Unavailable(f"Salesforce has no field `{key}` of {kind} that is a unique external id; make it")
        return f"Salesforce {self._declared.version}, with field `{key}` of contacts, opportunities and tasks"

    async def close(self) -> None:
        """See `Declarable`."""
        await self._api.close()

    async def _under_key(self, call: CallContext, tool: Tool, mark: str) -> Output | None:
        where = f"{self._declared.key} = {quoted(mark)}"
        if tool.output is Contact:
            return next(iter(await self._contacts(call, [where])), None)
        if tool.output is Deal:
            return next(iter(await self._deals(call, [where])), None)
        return await self._activity(call, where) if tool.output is Activity else None

    # Contacts and accounts

    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        where = _words(args.query, "Name", "Email", "Title", "Account.Name")
        if args.email:
            where.append(f"Email = {quoted(args.email)}")
        if args.account_id:
            where.append(f"AccountId = {quoted(id_of(args.account_id, 'account', 'account_id'))}")
        rows, cursor = await self._page(call, "Contact", self._contact_fields, where, args.cursor, args.limit)
        there = [contact_of(row, self._declared.contact_fields) for row in rows]
        held = [each for each in there if holds(args.query, each.name, each.email, each.title, each.account_name)]
        return ContactPage(contacts=held, next_cursor=cursor)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        id_ = id_of(args.contact_id, "contact", "contact_id")
        for contact in await self._contacts(call, [f"Id = {quoted(id_)}"]):
            return contact
        raise await self._gone(call, "Contact", "contact", args.contact_id, id_)

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        own = self._declared.account_fields
        where = _words(args.query, "Name", "Website", "Industry", "BillingCountry")
        asked = ((own.get("tier"), args.tier, "standard"), (own.get("status"), args.status, "active"))
        # An account without a value has what goes without saying, so that is not asked for.
        where += [f"{name} = {quoted(wanted)}" for name, wanted, usual in asked if name and wanted and wanted != usual]
        rows, cursor = await self._page(call, "Account", (*ACCOUNT, *own.values()), where, args.cursor, args.limit)
        held = [
            each
            for each in (account_of(row, own) for row in rows)
            if args.tier in (None, each.tier) and args.status in (None, each.status)
            if holds(args.query, each.name, each.domain, each.industry, each.country)
        ]
        return AccountPage(accounts=held, next_cursor=cursor)

    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        id_, own = id_of(args.account_id, "account", "account_id"), self._declared.account_fields
        for row in await self._rows(call, "Account", (*ACCOUNT, *own.values()), [f"Id = {quoted(id_)}"]):
            return account_of(row, own)
        raise await self._gone(call, "Account", "account", args.account_id, id_)

    # Deals

    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        stages = self._declared.stages
        known = [theirs for theirs, ours in stages.items() if args.stage in (None, ours)] or ["-"]
        where = [f"StageName IN ({', '.join(map(quoted, known))})", "AccountId != null"]
        if args.account_id:
            where.append(f"AccountId = {quoted(id_of(args.account_id, 'account', 'account_id'))}")
        if args.owner:
            where.append(f"Owner.Email = {quoted(args.owner)}")
        rows, cursor = await self._page(call, "Opportunity", self._deal_fields, where, args.cursor, args.limit)
        there = (deal_of(row, stages, self._declared.currency) for row in rows)
        return DealPage(deals=[each for each in there if each], next_cursor=cursor)

    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        id_ = id_of(args.deal_id, "deal", "deal_id")
        for deal in await self._deals(call, [f"Id = {quoted(id_)}"]):
            return deal
        raise NotFound(f"there is no deal `{args.deal_id}` of an account in a known stage", field="deal_id")

    # What the tools that change something are made of

    async def _known_at(self, call: CallContext, email: str) -> str | None:
        return next((each.id for each in await self._contacts(call, [f"Email = {quoted(email)}"])), None)

    async def _make_contact(self, call: CallContext, args: CreateContact) -> str:
        values = self._contact_values(args.model_dump(exclude={"account_id"}, exclude_defaults=True))
        if args.account_id:
            values["AccountId"] = await self._account_id(call, args.account_id)
        return shown("con", await self._make(call, "Contact", values))

    async def _change_contact(self, call: CallContext, current: Contact, changed: Mapping[str, Any]) -> None:
        id_ = id_of(current.id, "contact", "contact_id")
        await self._change(call, "Contact", id_, current.updated_at, self._contact_values(changed))

    async def _change_deal(self, call: CallContext, current: Deal, changed: Mapping[str, Any]) -> None:
        id_ = id_of(current.id, "deal", "deal_id")
        await self._change(call, "Opportunity", id_, current.updated_at, self._deal_values(changed))

    async def _log(self, call: CallContext, args: LogActivity, text: str) -> Activity | None:
        day = call.now.astimezone(UTC).date().isoformat()
        values = {"Subject": args.subject, "Description": text, "Status": "Completed", "ActivityDate": day}
        if args.contact_id:
            await self.crm_get_contact(call, GetContact(contact_id=args.contact_id))
            values["WhoId"] = id_of(args.contact_id, "contact", "contact_id")
        if args.account_id:
            values["WhatId"] = await self._account_id(call, args.account_id)
        made = await self._make(call, "Task", values)
        return await done(self._activity(call, f"Id = {quoted(made)}"))

    async def _account_id(self, call: CallContext, spelled: str) -> str:
        """Salesforce's id of an account that is there."""
        await self.crm_get_account(call, GetAccount(account_id=spelled))
        return id_of(spelled, "account", "account_id")

    # Asking and changing

    @property
    def _contact_fields(self) -> tuple[str, ...]:
        return (*CONTACT, *self._declared.contact_fields.values())

    @property
    def _deal_fields(self) -> tuple[str, ...]:
        return (*DEAL, *(["CurrencyIsoCode"] if self._declared.many_currencies else []))

    async def _rows(
        self, call: CallContext, kind: Kinds, fields: Sequence[str], where: Sequence[str], more: str = ""
    ) -> list[SalesforceRow]:
        """The rows that all conditions hold for."""
        conditions = " AND ".join(where) or "Id != null"
        query = f"SELECT {', '.join((*fields, *TIMES))} FROM {kind} WHERE {conditions}{more}"  # noqa: S608 - literals are quoted
        reply = await self._api.read(call, "GET", f"{self._path}/query", params={"q": query})
        return reply.as_(SalesforceRows).records

    async def _page(
        self, call: CallContext, kind: Kinds, fields: Sequence[str], where: list[str], cursor: str, limit: int
    ) -> tuple[list[SalesforceRow], str]:
        """A page of rows, the last changed first, and the cursor of the next page."""
        more = f" ORDER BY LastModifiedDate DESC, Id DESC LIMIT {limit + 1}"
        rows = await self._rows(call, kind, fields, [*where, *_after(cursor)], more)
        return page_of(rows, limit, lambda last: [last.modified, last.id])

    async def _contacts(self, call: CallContext, where: Sequence[str]) -> list[Contact]:
        rows = await self._rows(call, "Contact", self._contact_fields, where)
        return [contact_of(row, self._declared.contact_fields) for row in rows]

    async def _deals(self, call: CallContext, where: Sequence[str]) -> list[Deal]:
        rows = await self._rows(call, "Opportunity", self._deal_fields, where)
        there = (deal_of(row, self._declared.stages, self._declared.currency) for row in rows)
        return [each for each in there if each]

    async def _activity(self, call: CallContext, where: str) -> Activity | None:
        for row in await self._rows(call, "Task", TASK, [where]):
            return activity_of(shown("act", row.id), row.text("Description"), row.created, mark_of(call))
        return None

    async def _gone(self, call: CallContext, kind: Kinds, what: str, spelled: str, id_: str) -> NotFound:
        """Why a record is not there."""
        query = f"SELECT MasterRecordId FROM {kind} WHERE Id = {quoted(id_)} AND IsDeleted = true"  # noqa: S608 - quoted
        reply = await self._api.read(call, "GET", f"{self._path}/queryAll", params={"q": query})
        for row in reply.as_(MergedRows).records:
            if row.master:
                survivor = shown(spelled[:3], row.master)
                return NotFound(f"{what} `{spelled}` was merged into `{survivor}`; use that one", field=f"{what}_id")
        return NotFound(f"there is no {what} `{spelled}`; find the right id first", field=f"{what}_id")

    async def _make(self, call: CallContext, kind: Kinds, values: Mapping[str, Any]) -> str:
        """Make a record under the call's key: were it asked for twice, Salesforce would make one."""
        path = f"{self._path}/sobjects/{kind}/{self._declared.key}/{segment(mark_of(call))}"
        return (await self._api.act(call, "PATCH", path, json=dict(values))).as_(Made).id

    async def _change(
        self, call: CallContext, kind: Kinds, id_: str, unchanged: datetime, values: Mapping[str, Any]
    ) -> None:
        """Change a record, if nobody has changed it since: Salesforce looks at whole seconds."""
        changed = {**values, self._declared.key: mark_of(call)}
        since = {"If-Unmodified-Since": format_datetime(unchanged.astimezone(UTC), usegmt=True)}
        await self._api.act(call, "PATCH", f"{self._path}/sobjects/{kind}/{segment(id_)}", json=changed, headers=since)

    def _contact_values(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        names = {"email": "Email", "phone": "Phone", "title": "Title", "notes": "Description"}
        parts = name_parts(changed["name"]) if "name" in changed else {}
        return parts | self._renamed("contact", changed, names | self._declared.contact_fields, besides=["name"])

    def _deal_values(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if "stage" in changed:
            values["StageName"] = self._stage_of(self._declared.stages, changed["stage"])
        if "amount" in changed:
            values["Amount"] = float(changed["amount"])
        if "close_date" in changed:
            values["CloseDate"] = changed["close_date"].isoformat()
        if "next_step" in changed:
            values["NextStep"] = changed["next_step"]
        return values


def _after(cursor: str) -> list[str]:
    """The condition for what comes after a page."""
    if not cursor:
        return []
    at, last = decode_cursor(cursor, (datetime, str))
    try:
        time, id_ = moment(at), quoted(id_of(shown("xxx", last), "record", "cursor"))
    except NotFound:
        raise not_a_cursor() from None
    return [f"(LastModifiedDate < {time} OR (LastModifiedDate = {time} AND Id < {id_}))"]


def _words(query: str, *fields: str) -> list[str]:
    """Every word of a query is in one of the fields."""
    words = map(containing, dict.fromkeys(query.split()))
    return ["(" + " OR ".join(f"{field} LIKE {word}" for field in fields) + ")" for word in words]


KIND = Kind("salesforce", "crm", DeclaredSalesforce, SalesforceCrm, shows=("client", "assertion", "token"))
