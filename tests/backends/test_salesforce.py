"""Salesforce as a CRM, on an emulator of its documented API."""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.crm.salesforce import SalesforceCrm
from connectors.crm.salesforce_declared import DeclaredSalesforce
from connectors.crm.salesforce_soql import checksum, containing, id_of, quoted, shown
from connectors.crm.tools import CreateContact, GetDeal, ListDeals, SearchAccounts, UpdateContact, UpdateDeal
from connectors.embedded.database import Database
from connectors.errors import Conflict, InvalidInput, NotFound, Unavailable
from connectors.vendor.kinds import Surroundings
from tests.backends.crm import HERE, MANY, OneTenant, RemoteCrmContract, World, a_call, found_out, the_contact
from tests.backends.emulators.salesforce import TOKEN, Query, Salesforce
from tests.backends.faults import Faults, faulty
from tests.backends.serving import serving_app
from tests.sqlite import ready_company

IDS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=15, max_size=15)


class SalesforceWorld(World):
    effects: ClassVar[Mapping[str, str]] = {
        "crm_create_contact": "PATCH /services/data/v62.0/sobjects/Contact",
        "crm_update_contact": "PATCH /services/data/v62.0/sobjects/Contact",
        "crm_update_deal": "PATCH /services/data/v62.0/sobjects/Opportunity",
        "crm_log_activity": "PATCH /services/data/v62.0/sobjects/Task",
    }
    faults: Faults

    def __init__(self, salesforce: Salesforce, faults: Faults, company: Database) -> None:
        self.salesforce, self.faults, self.company = salesforce, faults, company
        self.crm = a_salesforce(faults.url, company)

    async def account(self, name: str, **facts: Any) -> str:
        site = "https://www.nordwind.example/start"
        return shown("acc", self.salesforce.add("Account", {"Name": name, "Website": site, **facts}))

    async def contact(self, name: str, email: str, account: str = "") -> str:
        first, _, last = name.rpartition(" ")
        at = {"AccountId": id_of(account, "account", "account_id")} if account else {}
        values = {"FirstName": first, "LastName": last, "Email": email}
        return shown("con", self.salesforce.add("Contact", {**values, **at}))

    async def deal(self, account: str, title: str, amount: Decimal) -> str:
        values = {"Name": title, "Amount": float(amount), "StageName": "Prospecting", "CloseDate": "2026-12-01"}
        values["AccountId"] = id_of(account, "account", "account_id")
        return shown("dea", self.salesforce.add("Opportunity", values))

    async def many_contacts(self) -> str:
        account = await self.account("Large Ltd")
        for number in range(MANY):
            await self.contact(f"Person {number}", f"p{number}@large.example", account)
        return account

    async def rename_contact(self, contact: str, name: str) -> None:
        first, _, last = name.rpartition(" ")
        self.salesforce.change("Contact", id_of(contact, "", ""), {"FirstName": first, "LastName": last})

    async def delete_contact(self, contact: str) -> None:
        self.salesforce.delete("Contact", id_of(contact, "", ""))

    async def activities_of(self, contact: str) -> list[str]:
        about, tasks = id_of(contact, "", ""), self.salesforce.records["Task"].values()
        return [task["Description"] for task in tasks if task.get("WhoId") == about]


def a_salesforce(url: str, company: Database, **declared: Any) -> SalesforceCrm:
    said = {"tenant": HERE, "kind": "salesforce", "url": url, "inside": True, "account_fields": {"tier": "Tier__c"}}
    said |= {"contact_fields": {"language": "Language__c"}}
    return SalesforceCrm(DeclaredSalesforce.model_validate(said | declared), Surroundings(OneTenant(TOKEN), company))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SalesforceWorld]:
    company, salesforce = Database(ready_company(tmp_path / "company.db")), Salesforce()
    async with serving_app(salesforce.app) as url, faulty(url) as faults:
        world = SalesforceWorld(salesforce, faults, company)
        await world.seed()
        yield world
        await world.crm.close()
    company.close()


@given(IDS)
def test_an_id_is_spelled_without_capitals_and_back(short: str) -> None:
    id_ = short + checksum(short)
    assert shown("con", id_) == shown("con", id_).lower()
    assert id_of(shown("con", id_), "contact", "contact_id") == id_


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=40))
def test_what_is_no_id_is_not_found_and_what_is_spells_one_record(small: str) -> None:
    try:
        assert shown("con", id_of(f"con_{small}", "contact", "contact_id")) == f"con_{small}"
    except NotFound as error:
        assert error.field == "contact_id"  # noqa: PT017 - either is right


@pytest.mark.parametrize("id_", ["00190000001pPvHAAU", "001R0000005hDFYIA2"])
def test_check_characters_are_those_that_salesforce_publishes(id_: str) -> None:
    assert checksum(id_[:15]) == id_[15:]


def test_ids_that_differ_in_capitals_alone_are_spelled_apart() -> None:
    ids = [short + checksum(short) for short in ("003000000000abC", "003000000000ABc", "003000000000abc")]
    assert len({shown("con", id_) for id_ in ids}) == 3


@given(st.text())
def test_a_literal_is_read_back_as_the_text_that_it_was_made_of(text: str) -> None:
    where = f"Email = {quoted(text)} AND Name LIKE {containing(text)}"
    query = Query(f"SELECT Id FROM Contact WHERE {where}")  # noqa: S608 - this is what is tested
    assert query.holds({"Email": text, "Name": f"x{text}y"}.__getitem__)
    assert not query.holds({"Email": f"{text}!", "Name": text}.__getitem__)


class TestSalesforce(RemoteCrmContract):
    async def test_a_merged_contact_names_the_one_that_is_left(self, world: SalesforceWorld) -> None:
        survivor = await world.contact("Survivor", f"s{world.seeded.email}")
        world.salesforce.delete("Contact", id_of(world.seeded.contact, "", ""), id_of(survivor, "", ""))
        with pytest.raises(NotFound, match=f"was merged into `{survivor}`"):
            await the_contact(world)

    async def test_a_field_of_the_companys_own_says_the_tier(self, world: SalesforceWorld) -> None:
        key = await world.account(f"Key {world.seeded.word}", Tier__c="key")
        for tier, found in (("key", [key]), ("standard", [world.seeded.account]), ("plus", [])):
            asked = SearchAccounts.model_validate({"query": world.seeded.word, "tier": tier})
            page = await world.crm.crm_search_accounts(a_call(), asked)
            assert [account.id for account in page.accounts] == found

    async def test_deals_are_listed_by_the_address_of_their_owner(self, world: SalesforceWorld) -> None:
        for owner, found in (("Ben@larkspur.example", [world.seeded.deal]), ("o'brien@larkspur.example", [])):
            page = await world.crm.crm_list_deals(a_call(), ListDeals(owner=owner))
            assert [deal.id for deal in page.deals] == found

    async def test_a_colleague_who_is_faster_by_seconds_is_not_overwritten(self, world: SalesforceWorld) -> None:
        before, id_ = await the_contact(world), id_of(world.seeded.contact, "", "")
        read = world.crm.crm_get_contact

        async def read_then_changed(*given_: Any) -> Any:
            contact = await read(*given_)
            for _ in range(4):
                world.salesforce.change("Contact", id_, {"Phone": "1"})
            return contact

        world.crm.crm_get_contact = read_then_changed
        change = UpdateContact(contact_id=before.id, version=before.version, phone="2")
        with pytest.raises(Conflict):
            await world.crm.crm_update_contact(a_call(), change)
        assert world.salesforce.records["Contact"][id_]["Phone"] == "1"

    async def test_a_contact_that_is_asked_for_again_under_its_key_is_made_once(self, world: SalesforceWorld) -> None:
        call, new = a_call(), {"LastName": "Once", "Email": f"o{world.seeded.email}"}
        ids = {await world.crm._make(call, "Contact", new) for _ in range(2)}
        assert {shown("con", id_) for id_ in ids} == {(await found_out(world, call, "crm_create_contact")).id}

    async def test_what_salesforce_says_is_told_as_its_words(self, world: SalesforceWorld) -> None:
        deal = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        crm = a_salesforce(world.faults.url, world.company, stages={"Prospecting": "lead", "Unheard": "proposal"})
        change = UpdateDeal(deal_id=deal.id, version=deal.version, stage="proposal")
        with pytest.raises(InvalidInput, match="bad value: Unheard") as refused:
            await crm.crm_update_deal(a_call(), change)
        assert refused.value.is_untrusted
        await crm.close()

    async def test_a_language_is_refused_where_there_is_no_field_for_it(self, world: SalesforceWorld) -> None:
        crm = a_salesforce(world.faults.url, world.company, contact_fields={})
        new = CreateContact(name="Bo Ek", email=f"t{world.seeded.email}", language="sv")
        with pytest.raises(InvalidInput) as refused:
            await crm.crm_create_contact(a_call(), new)
        assert refused.value.field == "language"
        await crm.close()

    async def test_a_look_says_what_is_missing(self, world: SalesforceWorld) -> None:
        crm = a_salesforce(world.faults.url, world.company, key="Phone")
        with pytest.raises(Unavailable, match="no field `Phone` of Contact that is a unique external id"):
            await crm.look(a_call())
        await crm.close()
