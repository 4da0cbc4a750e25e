"""What every CRM back end does: one class of tests, run on each of them in a world of its own.

A back end need not have every tool; a test of one that it lacks is skipped.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import anyio
import pytest
from pydantic import SecretStr

from connectors.contract import CallContext, Input, Output, tools_of
from connectors.credentials import Access
from connectors.crm.tools import (
    Contact,
    CreateContact,
    Crm,
    DealStage,
    GetAccount,
    GetContact,
    GetDeal,
    GetOrders,
    IssueRefund,
    ListDeals,
    LogActivity,
    SearchAccounts,
    SearchContacts,
    UpdateContact,
    UpdateDeal,
)
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound, Unavailable
from tests.backends.faults import Fault, Faults

HERE, ELSEWHERE = "larkspur", "elsewhere"
MANY = 1_000
TOOLS = {tool.name: tool for tool in tools_of(Crm)}
HOSTILE = ["%", "_", "%%", "\\", "'", '"', "') OR 1=1 --", "*", "[a]", "a' OR name LIKE 'x", "${7*7}", "{", "AND", "()"]


@dataclass
class Seeded:
    """What a world holds at the start of each test: one of each, of which `word` tells that it is this test's."""

    word: str
    account: str
    contact: str
    email: str
    deal: str
    order: str = ""


class OneTenant:
    """The credential of one tenant, which is not renewed.

    Args:
        secret: A token, or the password of `user`.
        user: Empty for a token.
    """

    def __init__(self, secret: str, user: str = "") -> None:
        self._secret, self._user = secret, user

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        """See `Credentials`."""
        if tenant != HERE:
            raise Unavailable(f"there is no credential for `{back_end}`; nothing was done")
        return Access(back_end, tenant, None, 1, SecretStr(self._secret), self._user)

    async def refused(self, access: Access) -> Access | None:
        """See `Credentials`."""
        return None


class World(ABC):
    """A back end with somebody beside it who can change what it holds."""

    crm: Any
    faults: Faults | None = None
    renews = False
    """Whether what it shows is renewed when it is refused."""
    effects: ClassVar[Mapping[str, str]] = {}
    """By tool, what the line of the request has in it that takes effect."""
    moves_to: DealStage = "qualified"
    """A stage that the seeded deal, which is a lead, may be moved to."""
    seeded: Seeded

    @abstractmethod
    async def account(self, name: str, **facts: Any) -> str:
        """Add an account; give its id."""

    @abstractmethod
    async def contact(self, name: str, email: str, account: str = "") -> str:
        """Add a contact; give its id."""

    @abstractmethod
    async def deal(self, account: str, title: str, amount: Decimal) -> str:
        """Add a lead in EUR; give its id."""

    async def order(self, account: str, number: str) -> tuple[str, str]:
        """Add an order of 3 × 19.90 EUR and 1 × 0.30 EUR; give its id and number."""
        raise NotImplementedError

    @abstractmethod
    async def many_contacts(self) -> str:
        """An account with 1,000 contacts, which no test changes; give its id."""

    @abstractmethod
    async def rename_contact(self, contact: str, name: str) -> None:
        """Change a contact as a colleague does, past the back end."""

    @abstractmethod
    async def delete_contact(self, contact: str) -> None:
        """Delete a contact as a colleague does, past the back end."""

    @abstractmethod
    async def activities_of(self, contact: str) -> list[str]:
        """The texts of what was logged about a contact."""

    async def seed(self) -> None:
        word = f"w{uuid4().hex[:12]}"
        account = await self.account(f"Nordwind {word} GmbH")
        email = f"{word}@nordwind.example"
        contact = await self.contact(f"Åsa {word}", email, account)
        deal = await self.deal(account, f"Spring {word}", Decimal("1200.50"))
        self.seeded = Seeded(word, account, contact, email, deal)


def a_call(key: str = "", tenant: str = HERE) -> CallContext:
    return CallContext(
        tenant=tenant,
        actor="ana@larkspur.example",
        key=key or uuid4().hex,
        now=datetime.now(UTC).replace(microsecond=0),
    )


def needs(world: World, *tools: str) -> None:
    for tool in tools:
        if not hasattr(world.crm, tool):
            pytest.skip(f"this back end has no `{tool}`")


async def pages(ask: Callable[[str], Awaitable[Any]], name: str) -> AsyncIterator[list[Any]]:
    """The pages of a listing, one after the other."""
    cursor = ""
    while True:
        page = await ask(cursor)
        yield getattr(page, name)
        cursor = page.next_cursor
        if not cursor:
            return


async def names(world: World, query: str) -> list[str]:
    page = await world.crm.crm_search_contacts(a_call(), SearchContacts(query=query))
    return [contact.name for contact in page.contacts]


async def the_contact(world: World) -> Contact:
    contact: Contact = await world.crm.crm_get_contact(a_call(), GetContact(contact_id=world.seeded.contact))
    return contact


async def at_address(world: World, email: str) -> list[Contact]:
    page = await world.crm.crm_search_contacts(a_call(), SearchContacts(email=email))
    contacts: list[Contact] = page.contacts
    return contacts


async def found_out(world: World, call: CallContext, tool: str) -> Any:
    return await world.crm.find_effect(call, TOOLS[tool])


class CrmContract:
    """Every CRM back end. The fixture `world` gives each test a `World` that is seeded."""

    # Contacts

    async def test_a_contact_shows_its_account_its_address_and_times_with_zone(self, world: World) -> None:
        contact, seeded = await the_contact(world), world.seeded
        assert (contact.id, contact.name, contact.email) == (seeded.contact, f"Åsa {seeded.word}", seeded.email)
        assert (contact.account_id, contact.account_name) == (seeded.account, f"Nordwind {seeded.word} GmbH")
        assert contact.created_at.utcoffset() == contact.updated_at.utcoffset() == UTC.utcoffset(None)

    async def test_a_contact_is_found_by_every_word_in_any_case_and_any_field(self, world: World) -> None:
        word = world.seeded.word
        for query in (word, word.upper(), f"Åsa {word}", f"{word} Nordwind", world.seeded.email):
            assert await names(world, query) == [f"Åsa {word}"], query
        assert await names(world, f"{word} absent") == []

    async def test_hostile_words_are_plain_text_and_find_nothing(self, world: World) -> None:
        for query in HOSTILE:
            assert await names(world, f"{world.seeded.word} {query}") == [], query

    async def test_wildcards_in_a_name_are_found_as_they_are_written(self, world: World) -> None:
        word = f"w{uuid4().hex[:12]}"
        await world.contact(f"{word} 100% a_b", f"{word}@else.example")
        assert await names(world, f"{word} 100% a_b") == [f"{word} 100% a_b"]
        assert await names(world, f"{word} 1%0 ab_") == []

    async def test_contacts_are_filtered_by_exact_address_and_account(self, world: World) -> None:
        await world.contact("Somebody Else", f"x{world.seeded.email}")
        for wanted in ({"email": world.seeded.email}, {"account_id": world.seeded.account}):
            page = await world.crm.crm_search_contacts(a_call(), SearchContacts.model_validate(wanted))
            assert [contact.id for contact in page.contacts] == [world.seeded.contact]

    async def test_an_unknown_contact_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.crm.crm_get_contact(a_call(), GetContact(contact_id=f"con_0000{uuid4().hex[:6]}"))

    async def test_a_deleted_contact_is_neither_found_nor_read(self, world: World) -> None:
        await world.delete_contact(world.seeded.contact)
        with pytest.raises(NotFound):
            await the_contact(world)
        assert await names(world, world.seeded.word) == []

    async def test_a_thousand_contacts_are_each_on_one_page(self, world: World) -> None:
        account, seen = await world.many_contacts(), []

        async def ask(cursor: str) -> Any:
            return await world.crm.crm_search_contacts(
                a_call(), SearchContacts(account_id=account, limit=50, cursor=cursor)
            )

        async for page in pages(ask, "contacts"):
            assert len(page) <= 50
            seen += [contact.id for contact in page]
        assert (len(seen), len(set(seen))) == (MANY, MANY)

    async def test_a_cursor_that_was_made_elsewhere_is_refused(self, world: World) -> None:
        for cursor in ("AAAA", "W10", "bm90IGpzb24", "WyJ4IiwieSJd", "WzFlOTldfQ"):
            with pytest.raises(InvalidInput) as refused:
                await world.crm.crm_search_contacts(a_call(), SearchContacts(cursor=cursor))
            assert refused.value.field == "cursor"

    async def test_a_created_contact_is_found_and_its_key_remembers_it(self, world: World) -> None:
        word, call = f"w{uuid4().hex[:12]}", a_call()
        new = CreateContact(
            name=f"Zoë {word}",
            email=f"{word}@nordwind.example",
            phone="+46 70 123 45 67",
            account_id=world.seeded.account,
        )
        made = await world.crm.crm_create_contact(call, new)
        assert (made.name, made.email, made.account_id) == (new.name, new.email, new.account_id)
        assert "".join(filter(str.isdigit, made.phone)) == "46701234567"
        assert await names(world, word) == [new.name]
        assert await found_out(world, call, "crm_create_contact") == made

    async def test_a_known_address_is_refused_with_the_contact_to_update(self, world: World) -> None:
        with pytest.raises(Conflict, match=world.seeded.contact) as refused:
            await world.crm.crm_create_contact(a_call(), CreateContact(name="Åsa", email=world.seeded.email))
        assert refused.value.field == "email"
        assert len(await at_address(world, world.seeded.email)) == 1

    async def test_a_contact_cannot_be_created_at_an_account_that_is_not_there(self, world: World) -> None:
        new = CreateContact(name="Bo", email=f"bo{world.seeded.email}", account_id=f"acc_0000{uuid4().hex[:6]}")
        with pytest.raises(NotFound) as refused:
            await world.crm.crm_create_contact(a_call(), new)
        assert refused.value.field == "account_id"
        assert await at_address(world, new.email) == []

    async def test_an_update_changes_the_given_fields_and_the_version(self, world: World) -> None:
        before, call = await the_contact(world), a_call()
        change = UpdateContact(
            contact_id=before.id, version=before.version, name=f"Eva {world.seeded.word}", phone="+46 70 1"
        )
        after = await world.crm.crm_update_contact(call, change)
        assert (after.name, after.email, after.account_id) == (change.name, before.email, before.account_id)
        assert after.version != before.version
        assert await the_contact(world) == after
        assert await found_out(world, call, "crm_update_contact") == after

    async def test_an_update_can_change_the_address(self, world: World) -> None:
        before = await the_contact(world)
        change = UpdateContact(contact_id=before.id, version=before.version, email=f"new{world.seeded.email}")
        assert (await world.crm.crm_update_contact(a_call(), change)).email == change.email
        assert await at_address(world, world.seeded.email) == []

    async def test_an_update_of_what_a_colleague_changed_meanwhile_is_refused(self, world: World) -> None:
        before = await the_contact(world)
        await world.rename_contact(before.id, f"Colleague {world.seeded.word}")
        with pytest.raises(Conflict) as refused:
            await world.crm.crm_update_contact(
                a_call(), UpdateContact(contact_id=before.id, version=before.version, name="Mine")
            )
        assert refused.value.field == "version"
        assert (await the_contact(world)).name == f"Colleague {world.seeded.word}"

    async def test_of_two_updates_at_once_only_one_is_made(self, world: World) -> None:
        before, ends = await the_contact(world), []

        async def update(name: str) -> None:
            try:
                change = UpdateContact(contact_id=before.id, version=before.version, name=name)
                ends.append((await world.crm.crm_update_contact(a_call(), change)).name)
            except Conflict:
                ends.append("")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(update, "One Lind")
            tasks.start_soon(update, "Two Lind")
        assert "" in ends
        assert (await the_contact(world)).name == max(ends) != ""

    async def test_an_update_that_changes_nothing_is_refused(self, world: World) -> None:
        now = await the_contact(world)
        with pytest.raises(InvalidInput):
            await world.crm.crm_update_contact(
                a_call(), UpdateContact(contact_id=now.id, version=now.version, name=now.name)
            )

    async def test_an_update_cannot_take_the_address_of_another_contact(self, world: World) -> None:
        other = await world.contact("Bo", f"bo{world.seeded.email}")
        now = await the_contact(world)
        with pytest.raises(Conflict, match=other) as refused:
            await world.crm.crm_update_contact(
                a_call(), UpdateContact(contact_id=now.id, version=now.version, email=f"bo{world.seeded.email}")
            )
        assert refused.value.field == "email"

    # Accounts

    async def test_an_account_is_found_by_words_and_read_by_its_id(self, world: World) -> None:
        needs(world, "crm_search_accounts")
        seeded = world.seeded
        for wanted, found in (
            ({"query": f"NORDWIND {seeded.word}"}, [seeded.account]),
            ({"query": f"{seeded.word} absent"}, []),
            ({"query": f"{seeded.word} %"}, []),
            ({"query": seeded.word, "tier": "standard", "status": "active"}, [seeded.account]),
            ({"query": seeded.word, "tier": "key"}, []),
            ({"query": seeded.word, "status": "closed"}, []),
        ):
            page = await world.crm.crm_search_accounts(a_call(), SearchAccounts.model_validate(wanted))
            assert [account.id for account in page.accounts] == found, wanted
        account = await world.crm.crm_get_account(a_call(), GetAccount(account_id=seeded.account))
        assert (account.id, account.name) == (seeded.account, f"Nordwind {seeded.word} GmbH")
        assert (account.tier, account.status) == ("standard", "active")

    async def test_a_contact_is_no_account(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.crm.crm_get_account(
                a_call(), GetAccount(account_id=world.seeded.contact.replace("con_", "acc_"))
            )

    # Deals

    async def test_a_deal_is_listed_by_its_account_and_read_by_its_id(self, world: World) -> None:
        deal = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        assert (deal.account_id, deal.title, deal.stage) == (
            world.seeded.account,
            f"Spring {world.seeded.word}",
            "lead",
        )
        assert (deal.amount, deal.currency) == (Decimal("1200.50"), "EUR")
        for wanted, found in (({}, [deal.id]), ({"stage": "lead"}, [deal.id]), ({"stage": "won"}, [])):
            asked = ListDeals.model_validate({"account_id": world.seeded.account, **wanted})
            page = await world.crm.crm_list_deals(a_call(), asked)
            assert [each.id for each in page.deals] == found

    async def test_a_deal_that_is_not_there_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=f"dea_0000{uuid4().hex[:6]}"))

    async def test_a_deal_is_updated_and_its_key_remembers_it(self, world: World) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(
            deal_id=before.id, version=before.version, amount=Decimal("1300.05"), close_date=date(2027, 4, 1)
        )
        after = await world.crm.crm_update_deal(call, change)
        assert (after.amount, after.close_date, after.stage) == (Decimal("1300.05"), date(2027, 4, 1), "lead")
        assert after.version != before.version
        assert await found_out(world, call, "crm_update_deal") == after
        with pytest.raises(Conflict):
            await world.crm.crm_update_deal(a_call(), change)

    async def test_a_deal_is_moved_to_another_stage(self, world: World) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(deal_id=before.id, version=before.version, stage=world.moves_to)
        after = await world.crm.crm_update_deal(call, change)
        assert (after.stage, after.amount) == (world.moves_to, before.amount)
        assert await found_out(world, call, "crm_update_deal") == after

    async def test_a_lost_deal_is_not_changed_any_more(self, world: World) -> None:
        before = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal))
        lost = await world.crm.crm_update_deal(
            a_call(), UpdateDeal(deal_id=before.id, version=before.version, stage="lost")
        )
        with pytest.raises(Conflict):
            await world.crm.crm_update_deal(
                a_call(), UpdateDeal(deal_id=lost.id, version=lost.version, amount=Decimal(1))
            )

    # Orders

    async def test_an_order_shows_its_lines_and_exact_money(self, world: World) -> None:
        needs(world, "crm_get_orders")
        order, number = await world.order(world.seeded.account, f"LI-{world.seeded.word}")
        for wanted in ({"order_id": order}, {"number": number}, {"account_id": world.seeded.account}):
            page = await world.crm.crm_get_orders(a_call(), GetOrders.model_validate(wanted))
            [shown] = page.orders
            assert (shown.id, shown.number, shown.account_id) == (order, number, world.seeded.account)
            assert [(line.quantity, line.unit_price) for line in shown.lines] == [
                (3, Decimal("19.90")),
                (1, Decimal("0.30")),
            ]
            assert (shown.total, shown.refunded, shown.currency) == (Decimal("60.00"), Decimal(0), "EUR")

    async def test_an_order_that_is_not_there_is_not_found(self, world: World) -> None:
        needs(world, "crm_get_orders")
        with pytest.raises(NotFound):
            await world.crm.crm_get_orders(a_call(), GetOrders(order_id=f"ord_0000{uuid4().hex[:6]}"))
        assert (await world.crm.crm_get_orders(a_call(), GetOrders(number=f"LI-{uuid4().hex}"))).orders == []

    async def test_a_refund_is_never_more_than_the_rest(self, world: World) -> None:
        needs(world, "crm_issue_refund")
        order, _ = await world.order(world.seeded.account, f"LI-{world.seeded.word}")
        call = a_call()
        refund = IssueRefund(order_id=order, amount=Decimal(10), currency="EUR", reason="damaged")
        given = await world.crm.crm_issue_refund(call, refund)
        assert await found_out(world, call, "crm_issue_refund") == given
        with pytest.raises(Conflict):
            await world.crm.crm_issue_refund(a_call(), refund.model_copy(update={"amount": Decimal("50.01")}))

    # Activities

    async def test_an_activity_is_kept_with_its_text_and_its_key_remembers_it(self, world: World) -> None:
        call, text = a_call(), 'Line one\nLine two <b>& "quotes" — ünïcode</b>\n\n(end)'
        log = LogActivity(kind="call", subject="Delivery: Friday", body=text, contact_id=world.seeded.contact)
        made = await world.crm.crm_log_activity(call, log)
        assert (made.kind, made.subject, made.body) == ("call", "Delivery: Friday", text)
        assert (made.contact_id, made.actor) == (world.seeded.contact, call.actor)
        assert await found_out(world, call, "crm_log_activity") == made
        [kept] = await world.activities_of(world.seeded.contact)
        assert "Delivery: Friday" in kept

    async def test_activities_logged_at_once_about_one_contact_are_each_kept_and_remembered(self, world: World) -> None:
        made: dict[str, tuple[CallContext, Output]] = {}

        async def log(subject: str) -> None:
            call = a_call()
            wanted = LogActivity(kind="note", subject=subject, contact_id=world.seeded.contact)
            made[subject] = call, await world.crm.crm_log_activity(call, wanted)

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(log, f"Seen {number}")
        assert len(await world.activities_of(world.seeded.contact)) == len(made) == 5
        for call, activity in made.values():
            assert await found_out(world, call, "crm_log_activity") == activity

    async def test_an_activity_may_concern_an_account(self, world: World) -> None:
        log = LogActivity(kind="note", subject="A word", account_id=world.seeded.account)
        made = await world.crm.crm_log_activity(a_call(), log)
        assert (made.account_id, made.contact_id, made.body) == (world.seeded.account, None, "")

    async def test_an_activity_must_concern_somebody_who_is_there(self, world: World) -> None:
        with pytest.raises(InvalidInput):
            await world.crm.crm_log_activity(a_call(), LogActivity(kind="note", subject="A word"))
        with pytest.raises(NotFound):
            await world.crm.crm_log_activity(
                a_call(), LogActivity(kind="note", subject="A word", contact_id=f"con_0000{uuid4().hex[:6]}")
            )

    # Whose it is, and what becomes of a key

    async def test_another_tenant_sees_nothing(self, world: World) -> None:
        with pytest.raises((NotFound, Unavailable)):
            await world.crm.crm_get_contact(a_call(tenant=ELSEWHERE), GetContact(contact_id=world.seeded.contact))
        try:
            page = await world.crm.crm_search_contacts(
                a_call(tenant=ELSEWHERE), SearchContacts(query=world.seeded.word)
            )
        except Unavailable:
            return
        assert page.contacts == []

    @pytest.mark.parametrize(
        "tool", ["crm_create_contact", "crm_update_contact", "crm_update_deal", "crm_log_activity"]
    )
    async def test_of_a_key_that_did_nothing_no_effect_is_ever_found(self, world: World, tool: str) -> None:
        try:
            assert await found_out(world, a_call(), tool) is None
        except InDoubt:
            return


class RemoteCrmContract(CrmContract):
    """Every CRM back end that is reached over a network, with what goes wrong on the way."""

    async def test_a_look_says_what_is_there(self, world: World) -> None:
        said = await world.crm.look(a_call())
        assert "\n" not in said
        assert said

    async def test_a_contact_whose_answer_was_lost_was_made_once(self, world: World) -> None:
        call, email = a_call(), f"lost{world.seeded.email}"
        new = CreateContact(name="Lost Answer", email=email, account_id=world.seeded.account)
        await in_doubt(world, "crm_create_contact", call, new)
        [made] = await at_address(world, email)
        assert await found_out(world, call, "crm_create_contact") == made

    async def test_an_update_whose_answer_was_lost_is_found_out(self, world: World) -> None:
        before, call = await the_contact(world), a_call()
        change = UpdateContact(contact_id=before.id, version=before.version, name=f"Lost {world.seeded.word}")
        await in_doubt(world, "crm_update_contact", call, change)
        after = await found_out(world, call, "crm_update_contact")
        assert (after.id, after.name) == (before.id, change.name)

    async def test_a_change_of_a_deal_whose_answer_was_lost_is_found_out(self, world: World) -> None:
        before, call = await world.crm.crm_get_deal(a_call(), GetDeal(deal_id=world.seeded.deal)), a_call()
        change = UpdateDeal(deal_id=before.id, version=before.version, amount=Decimal(77))
        await in_doubt(world, "crm_update_deal", call, change)
        after = await found_out(world, call, "crm_update_deal")
        assert (after.id, after.amount) == (before.id, Decimal(77))

    async def test_an_activity_whose_answer_was_lost_was_logged_once(self, world: World) -> None:
        call = a_call()
        log = LogActivity(kind="email", subject="Lost answer", body="Text", contact_id=world.seeded.contact)
        await in_doubt(world, "crm_log_activity", call, log)
        made = await found_out(world, call, "crm_log_activity")
        assert (made.subject, made.body, made.contact_id) == ("Lost answer", "Text", world.seeded.contact)
        assert len(await world.activities_of(world.seeded.contact)) == 1

    async def test_a_rate_limit_is_waited_for(self, world: World) -> None:
        assert world.faults
        await the_contact(world)
        world.faults.fail(Fault.SHORTLY_RATE_LIMITED)
        assert (await the_contact(world)).id == world.seeded.contact
        world.faults.fail(Fault.RATE_LIMITED)
        with pytest.raises(Unavailable, match="come back in"):
            await the_contact(world)

    async def test_a_refused_credential_is_said_or_renewed(self, world: World) -> None:
        assert world.faults
        await the_contact(world)
        world.faults.fail(Fault.UNAUTHORIZED)
        if world.renews:
            assert (await the_contact(world)).id == world.seeded.contact
        else:
            with pytest.raises(Unavailable, match="credential"):
                await the_contact(world)

    async def test_a_contact_whose_answer_made_no_sense_is_found_out(self, world: World) -> None:
        call, email = a_call(), f"odd{world.seeded.email}"
        await in_doubt(world, "crm_create_contact", call, CreateContact(name="Odd", email=email), Fault.MALFORMED)
        assert (await found_out(world, call, "crm_create_contact")).email == email

    @pytest.mark.parametrize("fault", [Fault.OUTAGE, Fault.MALFORMED])
    async def test_a_read_through_an_outage_or_nonsense_is_unavailable(self, world: World, fault: Fault) -> None:
        assert world.faults
        await the_contact(world)
        world.faults.fail(fault)
        with pytest.raises(Unavailable):
            await the_contact(world)
        assert (await the_contact(world)).id == world.seeded.contact


async def in_doubt(world: World, tool: str, call: CallContext, args: Input, fault: Fault = Fault.LOST_ANSWER) -> None:
    """Call a tool while the answer to its request that takes effect is lost."""
    assert world.faults
    await the_contact(world)
    world.faults.fail(fault, world.effects[tool])
    with pytest.raises(InDoubt):
        await getattr(world.crm, tool)(call, args)
