"""HubSpot as a CRM, on an emulator of its published API."""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.crm.hubspot import HubSpotCrm
from connectors.crm.hubspot_declared import DeclaredHubSpot
from connectors.crm.tools import CreateContact, GetDeal, ListDeals, SearchAccounts, UpdateDeal
from connectors.embedded.database import Database
from connectors.errors import InvalidInput, NotFound, Unavailable
from connectors.vendor.ids import shown
from connectors.vendor.kinds import Surroundings
from tests.backends.crm import HERE, MANY, OneTenant, RemoteCrmContract, World, a_call, the_contact
from tests.backends.emulators.hubspot import TOKEN, HubSpot
from tests.backends.faults import Faults, faulty
from tests.backends.serving import serving_app
from tests.sqlite import ready_company


class HubSpotWorld(World):
    effects: ClassVar[Mapping[str, str]] = {
        "crm_create_contact": "POST /crm/v3/objects/contacts",
        "crm_update_contact": "PATCH /crm/v3/objects/contacts",
        "crm_update_deal": "PATCH /crm/v3/objects/deals",
        "crm_log_activity": "POST /crm/v3/objects/notes",
    }

    faults: Faults

    def __init__(self, hubspot: HubSpot, faults: Faults, company: Database) -> None:
        self.hubspot, self.faults, self.company = hubspot, faults, company
        self.crm = a_hubspot(faults.url, company)

    async def account(self, name: str, **facts: Any) -> str:
        return shown("acc", self.hubspot.add("companies", {"name": name, "domain": "nordwind.example", **facts}))

    async def contact(self, name: str, email: str, account: str = "") -> str:
        first, _, last = name.rpartition(" ")
        properties = {"firstname": first, "lastname": last, "email": email}
        return shown("con", self.hubspot.add("contacts", properties, _at(account)))

    async def deal(self, account: str, title: str, amount: Decimal) -> str:
        properties = {"dealname": title, "amount": str(amount), "pipeline": "default", "hubspot_owner_id": "7"}
        return shown(
            "dea", self.hubspot.add("deals", {"dealstage": "appointmentscheduled", **properties}, _at(account))
        )

    async def many_contacts(self) -> str:
        account = await self.account("Large Ltd")
        for number in range(MANY):
            await self.contact(f"Person {number}", f"p{number}@large.example", account)
        return account

    async def rename_contact(self, contact: str, name: str) -> None:
        first, _, last = name.rpartition(" ")
        self.hubspot.change("contacts", _number(contact), {"firstname": first, "lastname": last})

    async def delete_contact(self, contact: str) -> None:
        del self.hubspot.objects["contacts"][_number(contact)]

    async def activities_of(self, contact: str) -> list[str]:
        notes = self.hubspot.links["contacts", _number(contact), "notes"]
        return [self.hubspot.objects["notes"][note]["properties"]["hs_note_body"] for note in notes]


def _at(account: str) -> list[tuple[str, str]]:
    return [("companies", _number(account))] if account else []


def _number(id_: str) -> str:
    return str(int(id_.partition("_")[2]))


def a_hubspot(url: str, company: Database, **declared: Any) -> HubSpotCrm:
    said = {"tenant": HERE, "kind": "hubspot", "url": url, "inside": True, "account_fields": {"tier": "remit_tier"}}
    return HubSpotCrm(DeclaredHubSpot.model_validate(said | declared), Surroundings(OneTenant(TOKEN), company))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HubSpotWorld]:
    company, hubspot = Database(ready_company(tmp_path / "company.db")), HubSpot()
    async with serving_app(hubspot.app) as url, faulty(url) as faults:
        world = HubSpotWorld(hubspot, faults, company)
        await world.seed()
        yield world
        await world.crm.close()
    company.close()


class TestHubSpot(RemoteCrmContract):
    async def test_a_merged_contact_is_read_as_the_one_that_is_left(self, world: HubSpotWorld) -> None:
        survivor = await world.contact("Survivor", f"s{world.seeded.email}")
        old = _number(world.seeded.contact)
        world.hubspot.merged[old] = _number(survivor)
        del world.hubspot.objects["contacts"][old]
        assert (await the_contact(world)).id == survivor

    async def test_a_property_of_the_companys_own_says_the_tier(self, world: HubSpotWorld) -> None:
        key = await world.account(f"Key {world.seeded.word}", remit_tier="key")
        for tier, found in (("key", [key]), ("standard", [world.seeded.account]), ("plus", [])):
            asked = SearchAccounts.model_validate({"query": world.seeded.word, "tier": tier})
            page = await world.crm.crm_search_accounts(a_call(), asked)
            assert [account.id for account in page.accounts] == found

    async def test_deals_are_listed_by_the_address_of_their_owner(self, world: HubSpotWorld) -> None:
        for owner, found in (("Ben@larkspur.example", [world.seeded.deal]), ("eva@larkspur.example", [])):
            page = await world.crm.crm_list_deals(a_call(), ListDeals(owner=owner))
            assert [deal.id for deal in page.deals] == found

    async def test_a_deal_of_no_account_is_left_out(self, world: HubSpotWorld) -> None:
        loose = world.hubspot.add("deals", {"dealname": "x", "dealstage": "closedwon", "pipeline": "default"})
        with pytest.raises(NotFound):
            await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=shown("dea", loose)))
        page = await world.crm.crm_list_deals(a_call(), ListDeals())
        assert [deal.id for deal in page.deals] == [world.seeded.deal]

    async def test_what_hubspot_says_is_told_as_its_words(self, world: HubSpotWorld) -> None:
        deal = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        crm = a_hubspot(world.faults.url, world.company, stages={"appointmentscheduled": "lead", "unheard": "proposal"})
        change = UpdateDeal(deal_id=deal.id, version=deal.version, stage="proposal")
        with pytest.raises(InvalidInput, match='"unheard" was not one of the allowed options') as refused:
            await crm.crm_update_deal(a_call(), change)
        assert refused.value.is_untrusted
        await crm.close()

    async def test_notes_are_refused_where_there_is_no_property_for_them(self, world: HubSpotWorld) -> None:
        new = CreateContact(name="Bo", email=f"t{world.seeded.email}", notes="x")
        with pytest.raises(InvalidInput) as refused:
            await world.crm.crm_create_contact(a_call(), new)
        assert refused.value.field == "notes"

    async def test_a_look_says_what_is_missing(self, world: HubSpotWorld) -> None:
        for key, why in (("no_such", "no property `no_such`"), ("phone", "not for unique values")):
            crm = a_hubspot(world.faults.url, world.company, key=key)
            with pytest.raises(Unavailable, match=why):
                await crm.look(a_call())
            await crm.close()
