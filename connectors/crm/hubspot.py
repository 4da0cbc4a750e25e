"""HubSpot as a CRM.

`docs/back-ends/hubspot.md` says what is what, and how it is made sure that a change happens once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from connectors.contract import CallContext, Output, Tool
from connectors.crm.changing import mark_of
from connectors.crm.hubspot_declared import DeclaredHubSpot
from connectors.crm.hubspot_rows import (
    COMPANY,
    CONTACT,
    DEAL,
    HubSpotAssociations,
    HubSpotPage,
    HubSpotRecord,
    Owners,
    Property,
    account_of,
    contact_of,
    deal_of,
    html_of,
    moment_of,
    name_parts,
    text_of_html,
)
from connectors.crm.notes import activity_of
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
    ListDeals,
    LogActivity,
    SearchAccounts,
    SearchContacts,
)
from connectors.embedded.pages import decode_cursor, page_of
from connectors.embedded.queries import folded, holds
from connectors.errors import NotFound, Unavailable
from connectors.vendor.api import Api, segment
from connectors.vendor.ids import number_of, shown
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.site import Site

Kinds = Literal["contacts", "companies", "deals", "notes"]

_LINK = {"con": 202, "acc": 190}
"""HubSpot's numbers of the links from a note to a contact and to a company."""
_CONTACT_TO_COMPANY = 279
_AT_ONCE, _OWNERS_AT_ONCE = 100, 500


class HubSpotCrm(RemoteCrm):
    """Implements `connectors.crm.tools.Crm` on HubSpot, but for orders and refunds.

    Args:
        declared: Which, and how the company uses it.
        surroundings: Where its credential is.
    """

    def __init__(self, declared: DeclaredHubSpot, surroundings: Surroundings) -> None:
        super().__init__("HubSpot")
        self._declared = declared
        site = Site(
            "HubSpot",
            declared.url,
            declared.shown,
            inside=declared.inside,
            request_ids=("x-hubspot-correlation-id",),
            explain=lambda body: str(body["message"]),
        )
        self._api = Api(site, surroundings.credentials)

    async def look(self, call: CallContext) -> str:
        """See `Declarable`."""
        key = self._declared.key
        for kind in ("contacts", "deals"):
            missing = Unavailable(f"HubSpot has no property `{key}` of {kind}; make it, for unique values")
            reply = await self._api.read(call, "GET", f"/crm/v3/properties/{kind}/{segment(key)}", missing=missing)
            if not reply.as_(Property).is_unique:
                raise Unavailable(f"HubSpot's property `{key}` of {kind} is not for unique values; make it anew")
        await self._api.read(call, "GET", "/crm/v3/objects/companies", params={"limit": 1})
        return f"HubSpot, with property `{key}` of contacts and deals"

    async def close(self) -> None:
        """See `Declarable`."""
        await self._api.close()

    async def _under_key(self, call: CallContext, tool: Tool, mark: str) -> Output | None:
        if tool.output is Contact:
            return await self._contact(call, mark, self._declared.key)
        if tool.output is Deal:
            return await self._deal(call, mark, self._declared.key)
        return await self._activity(call, mark) if tool.output is Activity else None

    # Contacts and accounts

    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        filters = [_is("email", args.email)] if args.email else []
        if args.account_id:
            filters.append(_is("associations.company", number_of(args.account_id, "account", "account_id")))
        rows, cursor = await self._search(call, "contacts", CONTACT, filters, args)
        at = await self._companies_of(call, "contacts", rows)
        names = await self._company_names(call, at.values())
        fields = self._declared.contact_fields
        there = [contact_of(row, at.get(row.id), names.get(at.get(row.id, ""), ""), fields) for row in rows]
        # HubSpot's own search takes words apart and leaves signs out.
        held = [each for each in there if holds(args.query, each.name, each.email, each.title, each.account_name)]
        return ContactPage(contacts=held, next_cursor=cursor)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        return await self._contact(call, str(number_of(args.contact_id, "contact", "contact_id")))

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        own, owners = self._declared.account_fields, await self._owners(call)
        asked = ((own.get("tier"), args.tier, "standard"), (own.get("status"), args.status, "active"))
        # A company without the property has what goes without saying, so that is not asked for.
        filters = [_is(name, wanted) for name, wanted, usual in asked if name and wanted and wanted != usual]
        rows, cursor = await self._search(call, "companies", (*COMPANY, *own.values()), filters, args)
        there = [account_of(row, owners.get(row.text("hubspot_owner_id"), ""), own) for row in rows]
        held = [
            each
            for each in there
            if args.tier in (None, each.tier) and args.status in (None, each.status)
            if holds(args.query, each.name, each.domain, each.industry, each.country)
        ]
        return AccountPage(accounts=held, next_cursor=cursor)

    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        row = await self._company(call, args.account_id)
        owners = await self._owners(call)
        return account_of(row, owners.get(row.text("hubspot_owner_id"), ""), self._declared.account_fields)

    # Deals

    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        declared, owners = self._declared, await self._owners(call)
        filters = [_is("pipeline", declared.pipeline)]
        if args.account_id:
            filters.append(_is("associations.company", number_of(args.account_id, "account", "account_id")))
        if args.stage:
            theirs = [each for each, ours in declared.stages.items() if ours == args.stage]
            filters.append({"propertyName": "dealstage", "operator": "IN", "values": theirs or ["none"]})
        if args.owner:
            owner = next((id_ for id_, email in owners.items() if folded(email) == folded(args.owner)), "0")
            filters.append(_is("hubspot_owner_id", owner))
        rows, cursor = await self._search(call, "deals", DEAL, filters, args)
        at = await self._companies_of(call, "deals", rows)
        there = (self._deal_of(row, at.get(row.id), owners) for row in rows)
        return DealPage(deals=[each for each in there if each], next_cursor=cursor)

    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        return await self._deal(call, str(number_of(args.deal_id, "deal", "deal_id")))

    # What the tools that change something are made of

    async def _known_at(self, call: CallContext, email: str) -> str | None:
        try:
            return (await self._contact(call, email, "email")).id
        except NotFound:
            return None

    async def _make_contact(self, call: CallContext, args: CreateContact) -> str:
        properties = self._contact_properties(args.model_dump(exclude={"account_id"}, exclude_defaults=True))
        links = []
        if args.account_id:
            company = await self._company(call, args.account_id)
            links.append(_link(company.id, _CONTACT_TO_COMPANY))
        made = await self._make(call, "contacts", {**properties, self._declared.key: mark_of(call)}, links)
        return shown("con", made.id)

    async def _change_contact(self, call: CallContext, current: Contact, changed: Mapping[str, Any]) -> None:
        await self._change(call, "contacts", current.id, self._contact_properties(changed))

    async def _change_deal(self, call: CallContext, current: Deal, changed: Mapping[str, Any]) -> None:
        await self._change(call, "deals", current.id, self._deal_properties(changed))

    async def _log(self, call: CallContext, args: LogActivity, text: str) -> Activity | None:
        links = []
        if args.contact_id:
            await self.crm_get_contact(call, GetContact(contact_id=args.contact_id))
            links.append(_link(str(number_of(args.contact_id, "contact", "contact_id")), _LINK["con"]))
        if args.account_id:
            company = await self._company(call, args.account_id)
            links.append(_link(company.id, _LINK["acc"]))
        properties = {"hs_timestamp": moment_of(call.now), "hs_note_body": html_of(text)}
        made = await self._make(call, "notes", properties, links)
        return activity_of(shown("act", made.id), text, made.created, mark_of(call))

    async def _make(
        self, call: CallContext, kind: Kinds, properties: Mapping[str, str], links: Sequence[Mapping[str, Any]]
    ) -> HubSpotRecord:
        new = {"properties": properties, "associations": links}
        return (await self._api.act(call, "POST", f"/crm/v3/objects/{kind}", json=new)).as_(HubSpotRecord)

    # Asking and changing

    async def _record(
        self, call: CallContext, kind: Kinds, id_: str, by: str, properties: Iterable[str], what: str
    ) -> HubSpotRecord:
        """One record with its company, by its id or by a property with unique values."""
        spelled = shown(what[:3], id_) if not by else id_
        missing = NotFound(f"there is no {what} `{spelled}`; find the right id first", field=f"{what}_id")
        asked = {"properties": ",".join(properties), **({"idProperty": by} if by else {})}
        asked |= {"associations": "companies"} if kind != "companies" else {}
        path = f"/crm/v3/objects/{kind}/{segment(id_)}"
        return (await self._api.read(call, "GET", path, params=asked, missing=missing)).as_(HubSpotRecord)

    async def _contact(self, call: CallContext, id_: str, by: str = "") -> Contact:
        fields = self._declared.contact_fields
        row = await self._record(call, "contacts", id_, by, (*CONTACT, *fields.values()), "contact")
        names = await self._company_names(call, filter(None, [row.company]))
        return contact_of(row, row.company, names.get(row.company or "", ""), fields)

    async def _company(self, call: CallContext, id_: str) -> HubSpotRecord:
        number = str(number_of(id_, "account", "account_id"))
        properties = (*COMPANY, *self._declared.account_fields.values())
        return await self._record(call, "companies", number, "", properties, "account")

    async def _deal(self, call: CallContext, id_: str, by: str = "") -> Deal:
        row = await self._record(call, "deals", id_, by, DEAL, "deal")
        deal = self._deal_of(row, row.company, await self._owners(call))
        if deal is None:
            raise NotFound(f"there is no deal `{shown('dea', row.id)}` of an account in a known stage", field="deal_id")
        return deal

    def _deal_of(self, row: HubSpotRecord, company: str | None, owners: Mapping[str, str]) -> Deal | None:
        if company is None or row.text("pipeline") != self._declared.pipeline:
            return None
        owner = owners.get(row.text("hubspot_owner_id"), "")
        return deal_of(row, company, owner, self._declared.stages, self._declared.currency)

    async def _activity(self, call: CallContext, mark: str) -> Activity | None:
        filters = [{"propertyName": "hs_note_body", "operator": "CONTAINS_TOKEN", "value": mark}]
        asked = {"filterGroups": [{"filters": filters}], "properties": ["hs_note_body"], "limit": 10}
        asked |= {"sorts": [], "after": "0"}
        reply = await self._api.read(call, "POST", "/crm/v3/objects/notes/search", json=asked)
        for row in reply.as_(HubSpotPage).results:
            text = text_of_html(row.text("hs_note_body"))
            if activity := activity_of(shown("act", row.id), text, row.created, mark):
                return activity
        return None

    async def _search(
        self,
        call: CallContext,
        kind: Kinds,
        properties: Sequence[str],
        filters: Sequence[Mapping[str, Any]],
        args: SearchContacts | SearchAccounts | ListDeals,
    ) -> tuple[list[HubSpotRecord], str]:
        """A page of records, the last made first, and the cursor of the next page.

        HubSpot pages through the first 10,000 alone; from one id to the next there is no such end.
        """
        upto = [] if not args.cursor else [_below(args.cursor)]
        asked: dict[str, Any] = {
            "filterGroups": [{"filters": [*filters, *upto]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}],
            "properties": list(properties),
            "limit": args.limit + 1,
            "after": "0",
        }
        if words := getattr(args, "query", "").split():
            # Of several it finds what holds any; the answer is sifted.
            asked["query"] = max(words, key=len)
        reply = await self._api.read(call, "POST", f"/crm/v3/objects/{kind}/search", json=asked)
        rows = reply.as_(HubSpotPage).results
        return page_of(rows, args.limit, lambda last: [int(last.id)])

    async def _companies_of(self, call: CallContext, kind: Kinds, rows: Sequence[HubSpotRecord]) -> dict[str, str]:
        """The company of each record."""
        if not rows:
            return {}
        asked = {"inputs": [{"id": row.id} for row in rows]}
        reply = await self._api.read(call, "POST", f"/crm/v4/associations/{kind}/companies/batch/read", json=asked)
        return reply.as_(HubSpotAssociations).first

    async def _company_names(self, call: CallContext, ids: Iterable[str]) -> dict[str, str]:
        wanted = [{"id": id_} for id_ in dict.fromkeys(ids)][:_AT_ONCE]
        if not wanted:
            return {}
        asked = {"properties": ["name"], "propertiesWithHistory": [], "inputs": wanted}
        reply = await self._api.read(call, "POST", "/crm/v3/objects/companies/batch/read", json=asked)
        return {row.id: row.text("name") for row in reply.as_(HubSpotPage).results}

    async def _owners(self, call: CallContext) -> dict[str, str]:
        """The addresses of the colleagues to whom records belong, by their ids."""
        there: dict[str, str] = {}
        asked: dict[str, Any] | None = {"limit": _OWNERS_AT_ONCE}
        while asked:
            page = (await self._api.read(call, "GET", "/crm/v3/owners", params=asked)).as_(Owners)
            there |= {owner.id: owner.email or "" for owner in page.results}
            # A page with nothing new would be asked for again and again.
            asked = {**asked, "after": page.after} if page.after and page.results else None
        return there

    async def _change(self, call: CallContext, kind: Kinds, id_: str, properties: Mapping[str, str]) -> None:
        changed = {"properties": {**properties, self._declared.key: mark_of(call)}}
        path = f"/crm/v3/objects/{kind}/{segment(int(id_.partition('_')[2]))}"
        await self._api.act(call, "PATCH", path, json=changed)

    def _contact_properties(self, changed: Mapping[str, Any]) -> dict[str, str]:
        names = {"email": "email", "phone": "phone", "title": "jobtitle", "language": "hs_language"}
        parts = name_parts(changed["name"]) if "name" in changed else {}
        return parts | self._renamed("contact", changed, names | self._declared.contact_fields, besides=["name"])

    def _deal_properties(self, changed: Mapping[str, Any]) -> dict[str, str]:
        properties = {}
        if "stage" in changed:
            properties["dealstage"] = self._stage_of(self._declared.stages, changed["stage"])
        if "amount" in changed:
            properties["amount"] = str(changed["amount"])
        if "close_date" in changed:
            properties["closedate"] = f"{changed['close_date'].isoformat()}T00:00:00Z"
        if "next_step" in changed:
            properties["hs_next_step"] = changed["next_step"]
        return properties


def _is(name: str, value: object) -> dict[str, Any]:
    return {"propertyName": name, "operator": "EQ", "value": str(value)}


def _below(cursor: str) -> dict[str, Any]:
    [last] = decode_cursor(cursor, (int,))
    return {"propertyName": "hs_object_id", "operator": "LT", "value": str(last)}


def _link(to: str, type_: int) -> dict[str, Any]:
    return {"to": {"id": to}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_}]}


KIND = Kind("hubspot", "crm", DeclaredHubSpot, HubSpotCrm)
