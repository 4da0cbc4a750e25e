"""Tryton as a CRM, on a real server."""

from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import AsyncMock

import httpx
import pytest

from connectors.crm.tools import (
    CreateContact,
    GetAccount,
    GetContact,
    GetDeal,
    GetOrders,
    LogActivity,
    SearchAccounts,
    SearchContacts,
    UpdateDeal,
)
from connectors.crm.tryton import TrytonCrm
from connectors.crm.tryton_declared import DeclaredTryton
from connectors.embedded.database import Database
from connectors.errors import InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.api import Reply
from connectors.vendor.ids import shown
from connectors.vendor.kinds import Surroundings
from tests.backends.crm import (
    HERE,
    OneTenant,
    RemoteCrmContract,
    World,
    a_call,
    at_address,
    found_out,
    in_doubt,
    the_contact,
)
from tests.backends.faults import Fault, Faults, faulty
from tests.backends.systems.tryton import DATABASE, PASSWORD, USER, Tryton, serving_tryton
from tests.postgres import PostgresServer


@pytest.fixture(scope="module")
def tryton(postgres: PostgresServer) -> Iterator[Tryton]:
    with serving_tryton(postgres) as server:
        yield server


def a_tryton(url: str, company: Database, **declared: Any) -> TrytonCrm:
    said = {
        "tenant": HERE,
        "kind": "tryton",
        "url": url,
        "inside": True,
        "database": DATABASE,
        "tiers": {"key": "Key account"},
    }
    said |= {"statuses": {"prospect": "Prospect"}, "deal_fields": {"next_step": "reference"}}
    return TrytonCrm(DeclaredTryton.model_validate(said | declared), Surroundings(OneTenant(PASSWORD, USER), company))


class TrytonWorld(World):
    renews = True
    effects: ClassVar[Mapping[str, str]] = {
        "crm_create_contact": "party.party.create",
        "crm_update_contact": "party.party.write",
        "crm_update_deal": "sale.opportunity.write",
        "crm_log_activity": "ir.note.create",
    }

    faults: Faults

    def __init__(self, tryton: Tryton, faults: Faults, crm: TrytonCrm) -> None:
        self.tryton, self.faults, self.crm = tryton, faults, crm

    async def account(self, name: str, **facts: Any) -> str:
        categories = [
            self._id("party.category", name=category) for category in ("Account", *facts.get("categories", ()))
        ]
        return shown("acc", self._party(name, categories, {}))

    async def contact(self, name: str, email: str, account: str = "") -> str:
        mechanisms = [["create", [{"type": "email", "value": email}, {"type": "phone", "value": "+46 8 1"}]]]
        works = {"type": self._id("party.relation.type", name="Works for"), "to": _number(account) if account else 0}
        more = {"contact_mechanisms": mechanisms, **({"relations": [["create", [works]]]} if account else {})}
        return shown("con", self._party(name, [self._id("party.category", name="Contact")], more))

    async def deal(self, account: str, title: str, amount: Decimal) -> str:
        values = {"party": _number(account), "description": title, "amount": amount}
        ours = {"company": self._id("company.company"), "currency": self._id("currency.currency", code="EUR")}
        values |= {**ours, "employee": self._id("company.employee"), "conversion_probability": 0.5}
        return shown("dea", self.tryton.call("sale.opportunity.create", [values])[0])

    async def order(self, account: str, number: str) -> tuple[str, str]:
        lines = [("Scarf", 3.0, Decimal("19.9")), ("Box", 1.0, Decimal("0.30"))]
        made = [{"type": "line", "description": n, "quantity": q, "unit_price": price} for n, q, price in lines]
        return self.sale(account, made)

    async def many_contacts(self) -> str:
        return shown("acc", self._id("party.party", name="Large Ltd"))

    async def rename_contact(self, contact: str, name: str) -> None:
        self.tryton.call("party.party.write", [_number(contact)], {"name": name})

    async def delete_contact(self, contact: str) -> None:
        self.tryton.call("party.party.write", [_number(contact)], {"active": False})

    async def activities_of(self, contact: str) -> list[str]:
        about = [["resource", "=", f"party.party,{_number(contact)}"]]
        return [note["message"] for note in self.tryton.call("ir.note.search_read", about, 0, None, None, ["message"])]

    def _party(self, name: str, categories: list[int], more: dict[str, Any]) -> int:
        values = {"name": name, "categories": [["add", categories]], **more}
        made: list[int] = self.tryton.call("party.party.create", [values])
        return made[0]

    def _id(self, model: str, **wanted: object) -> int:
        return self.tryton.ids(model, **wanted)[0]

    def sale(self, account: str, lines: list[dict[str, Any]], origin: str | None = None) -> tuple[str, str]:
        party = _number(account)
        [address] = self.tryton.call("party.address.create", [{"party": party, "street": "Weg 1"}])
        values: dict[str, Any] = {"party": party, "company": self._id("company.company"), "origin": origin}
        values |= {"currency": self._id("currency.currency", code="EUR"), "lines": [["create", lines]]}
        values |= {"invoice_address": address, "shipment_address": address}
        values |= {"invoice_method": "manual", "shipment_method": "manual"}
        [sale] = self.tryton.call("sale.sale.create", [values])
        for button in ("quote", "confirm", "process"):
            self.tryton.call(f"sale.sale.{button}", [sale])
        [row] = self.tryton.call("sale.sale.read", [sale], ["number"])
        return shown("ord", sale), row["number"]


def _number(id_: str) -> int:
    return int(id_.partition("_")[2])


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/company.db")
    yield database
    database.close()


@pytest.fixture
async def world(tryton: Tryton, company: Database) -> AsyncIterator[TrytonWorld]:
    async with faulty(tryton.url) as faults:
        crm = a_tryton(faults.url, company)
        # A session is begun once for all tests: Tryton takes long to check a password.
        crm._rpc._sessions._begun = tryton.sessions
        world = TrytonWorld(tryton, faults, crm)
        await world.seed()
        yield world
        await crm.close()


class TestTryton(RemoteCrmContract):
    async def test_a_category_says_tier_and_status(self, world: TrytonWorld) -> None:
        word = world.seeded.word
        key = await world.account(f"Key {word}", categories=["Key account", "Prospect"])
        for wanted, found in (
            ({"tier": "key"}, [key]),
            ({"status": "prospect"}, [key]),
            ({"tier": "standard"}, [world.seeded.account]),
            ({"status": "active"}, [world.seeded.account]),
            ({"tier": "plus"}, []),
        ):
            asked = SearchAccounts.model_validate({"query": word, **wanted})
            page = await world.crm.crm_search_accounts(a_call(), asked)
            assert [account.id for account in page.accounts] == found, wanted
        account = await world.crm.crm_get_account(a_call(), GetAccount(account_id=key))
        assert (account.tier, account.status) == ("key", "prospect")

    async def test_a_merged_contact_names_the_one_that_is_left(self, world: TrytonWorld) -> None:
        survivor = await world.contact("Survivor", f"s{world.seeded.email}")
        world.tryton.merge(_number(world.seeded.contact), _number(survivor))
        with pytest.raises(NotFound, match=f"was merged into `{survivor}`"):
            await the_contact(world)

    async def test_a_session_that_has_ended_is_begun_anew(self, world: TrytonWorld) -> None:
        await the_contact(world)
        world.faults.seen.clear()
        world.tryton.end_sessions()
        assert (await the_contact(world)).id == world.seeded.contact
        assert len([line for line in world.faults.seen if "common.db.login" in line]) == 1

    async def test_a_session_that_ended_before_a_change_leaves_it_made_once(self, world: TrytonWorld) -> None:
        await the_contact(world)
        world.tryton.end_sessions()
        call = a_call()
        made = await world.crm.crm_create_contact(call, CreateContact(name="New", email=f"n{world.seeded.email}"))
        assert [each.id for each in await at_address(world, made.email)] == [made.id]

    async def test_an_order_that_was_returned_says_so_and_its_return_is_none(self, world: TrytonWorld) -> None:
        order, _ = await world.order(world.seeded.account, "")
        lines = [{"type": "line", "description": "All", "quantity": -1.0, "unit_price": Decimal("60.00")}]
        world.sale(world.seeded.account, lines, f"sale.sale,{_number(order)}")
        page = await world.crm.crm_get_orders(a_call(), GetOrders(account_id=world.seeded.account))
        [shown_] = page.orders
        assert (shown_.id, shown_.status, shown_.refunded) == (order, "returned", Decimal("60.00"))

    async def test_a_line_of_a_broken_quantity_is_one_piece(self, world: TrytonWorld) -> None:
        lines = [{"type": "line", "description": "Cloth", "quantity": 2.5, "unit_price": Decimal("4.00")}]
        order, _ = world.sale(world.seeded.account, lines)
        [shown_] = (await world.crm.crm_get_orders(a_call(), GetOrders(order_id=order))).orders
        [line] = shown_.lines
        assert (line.quantity, line.unit_price, "2.5" in line.name) == (1, Decimal("10.00"), True)

    async def test_a_field_of_the_companys_own_holds_the_next_step(self, world: TrytonWorld) -> None:
        before = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        change = UpdateDeal(deal_id=before.id, version=before.version, next_step="Call on Monday")
        after = await world.crm.crm_update_deal(a_call(), change)
        assert after.next_step == "Call on Monday"
        change = UpdateDeal(deal_id=before.id, version=after.version, next_step="")
        assert (await world.crm.crm_update_deal(a_call(), change)).next_step == ""

    async def test_a_field_of_the_companys_own_holds_the_title(self, world: TrytonWorld, company: Database) -> None:
        crm = a_tryton(world.faults.url, company, contact_fields={"title": "code"})
        title = f"Head {world.seeded.word}"
        new = CreateContact(name="Bo", email=f"t{world.seeded.email}", title=title)
        made = await crm.crm_create_contact(a_call(), new)
        assert made.title == title
        page = await crm.crm_search_contacts(a_call(), SearchContacts(query=f"head {world.seeded.word} bo"))
        assert page.contacts == [made]
        await crm.close()

    async def test_an_activity_that_could_not_be_announced_was_not_logged(self, world: TrytonWorld) -> None:
        call = a_call()
        world.faults.fail(Fault.LOST_ANSWER, "party.identifier.create")
        log = LogActivity(kind="note", subject="x", contact_id=world.seeded.contact)
        with pytest.raises(Unavailable, match="nothing was logged"):
            await world.crm.crm_log_activity(call, log)
        assert await world.activities_of(world.seeded.contact) == []

    async def test_a_phone_goes_before_a_mobile(self, world: TrytonWorld) -> None:
        party = _number(world.seeded.contact)
        mobile = {"party": party, "type": "mobile", "value": "+46 70 9", "sequence": 0}
        world.tryton.call("party.contact_mechanism.create", [mobile])
        assert (await the_contact(world)).phone.replace(" ", "") == "+4681"

    async def test_what_tryton_keeps_nowhere_is_refused(self, world: TrytonWorld) -> None:
        new = CreateContact(name="Bo", email=f"t{world.seeded.email}", title="Head of Sales", notes="Likes tea")
        with pytest.raises(InvalidInput) as refused:
            await world.crm.crm_create_contact(a_call(), new)
        assert refused.value.field == "title", "the first of several, every time"
        assert await at_address(world, new.email) == []

    async def test_a_stage_changes_alone_and_only_by_tryton_s_own_steps(self, world: TrytonWorld) -> None:
        deal = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        for change in ({"stage": "won"}, {"stage": "qualified", "amount": Decimal(5)}):
            asked = UpdateDeal.model_validate({"deal_id": deal.id, "version": deal.version, **change})
            with pytest.raises(InvalidInput) as refused:
                await world.crm.crm_update_deal(a_call(), asked)
            assert refused.value.field == "stage"
        assert await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=deal.id)) == deal

    async def test_a_step_that_never_came_is_known_not_to_have_happened(self, world: TrytonWorld) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(deal_id=before.id, version=before.version, stage="lost")
        await in_doubt(world, "crm_update_deal", call, change)
        assert await found_out(world, call, "crm_update_deal") is None
        after = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=before.id))
        assert (after.stage, after.version != before.version) == ("lead", True)

    async def test_a_step_whose_answer_was_lost_is_found_out(self, world: TrytonWorld) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(deal_id=before.id, version=before.version, stage="lost")
        world.faults.fail(Fault.LOST_ANSWER, "sale.opportunity.lost")
        with pytest.raises(InDoubt):
            await world.crm.crm_update_deal(call, change)
        assert (await found_out(world, call, "crm_update_deal")).stage == "lost"

    async def test_a_changed_deal_that_is_no_account_s_any_more_is_not_shown(self, world: TrytonWorld) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(deal_id=before.id, version=before.version, amount=Decimal(5))
        await world.crm.crm_update_deal(call, change)
        [account] = world.tryton.ids("party.category", name="Account")
        no_account = {"categories": [["remove", [account]]]}
        world.tryton.call("party.party.write", [_number(world.seeded.account)], no_account)
        with pytest.raises(InDoubt, match="there is no deal"):
            await found_out(world, call, "crm_update_deal")

    async def test_a_day_that_is_none_makes_no_sense(self, world: TrytonWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = [{"id": 1, "end_date": {"__class__": "date", "year": 2027, "month": 13, "day": 1}}]
        reply = Reply(200, httpx.Headers(), {"result": rows}, Unavailable("no sense"))
        monkeypatch.setattr(world.crm._rpc._api, "read", AsyncMock(return_value=reply))
        with pytest.raises(Unavailable):
            await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))

    async def test_a_colleague_s_comment_stays_beside_the_mark(self, world: TrytonWorld) -> None:
        number = _number(world.seeded.deal)
        world.tryton.call("sale.opportunity.write", [number], {"comment": "Mind the gap"})
        for amount in (Decimal(5), Decimal(6)):
            now = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
            change = UpdateDeal(deal_id=now.id, version=now.version, amount=amount)
            await world.crm.crm_update_deal(a_call(), change)
        [row] = world.tryton.call("sale.opportunity.read", [number], ["comment"])
        assert row["comment"].startswith("Mind the gap\n[changed via Remit, ")
        assert row["comment"].count("\n") == 1

    async def test_a_relation_that_is_not_there_is_said(self, world: TrytonWorld, company: Database) -> None:
        crm = a_tryton(world.faults.url, company, relation="Knows")
        with pytest.raises(Unavailable, match="no type of relation `Knows`"):
            await crm.crm_get_contact(a_call(), GetContact(contact_id=world.seeded.contact))
        with pytest.raises(Unavailable, match="no type of relation `Knows`"):
            await crm.crm_search_contacts(a_call(), SearchContacts(query=world.seeded.word))
        await crm.close()

    async def test_what_has_a_name_is_asked_for_once(self, world: TrytonWorld) -> None:
        for person in ("a", "b"):
            world.faults.seen.clear()
            new = CreateContact(name="Bo", email=f"{person}{world.seeded.email}", account_id=world.seeded.account)
            await world.crm.crm_create_contact(a_call(), new)
        assert len(world.faults.seen) == 4, "whether it is known, the account, the effect, and what came of it"

    async def test_a_look_says_what_is_missing(self, world: TrytonWorld, company: Database) -> None:
        crm = a_tryton(world.faults.url, company, contacts="People")
        with pytest.raises(Unavailable, match="no party category `People`"):
            await crm.look(a_call())
        await crm.close()
