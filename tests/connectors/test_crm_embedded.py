"""What the embedded CRM does for every CRM tool, and what it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.loading import CrmRecord
from connectors.crm.tools import (
    Activity,
    Contact,
    CreateContact,
    Crm,
    GetAccount,
    GetContact,
    GetDeal,
    GetOrders,
    IssueRefund,
    ListDeals,
    LogActivity,
    Order,
    SearchAccounts,
    SearchContacts,
    UpdateContact,
    UpdateDeal,
)
from connectors.embedded.database import Database, stable_id
from connectors.embedded.loading import LoadReport
from connectors.errors import Conflict, InvalidInput, NotFound
from connectors.records import (
    AccountRecord,
    ActivityRecord,
    ContactRecord,
    DealRecord,
    OrderLineRecord,
    OrderRecord,
    RefundRecord,
)
from tests.sqlite import ready_company

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HERE, ELSEWHERE = "larkspur", "other"


def a_call(key: str = "k", tenant: str = HERE, now: datetime = NOON) -> CallContext:
    return CallContext(tenant=tenant, actor="ana@larkspur.example", key=key, now=now)


def an_account(source: str = "a1", **changed: object) -> AccountRecord:
    fields = {"name": "Nordwind GmbH", "domain": "nordwind.example", "country": "DE", "owner": "ben@larkspur.example"}
    return AccountRecord.model_validate(
        {"source_id": source, "created_at": NOON, "updated_at": NOON, **fields, **changed}
    )


def a_contact(source: str = "c1", **changed: object) -> ContactRecord:
    fields = {"name": "Åsa Österberg", "email": "asa@nordwind.example", "title": "Head of 100% Cotton", "account": "a1"}
    return ContactRecord.model_validate(
        {"source_id": source, "created_at": NOON, "updated_at": NOON, **fields, **changed}
    )


def a_deal(source: str = "d1", **changed: object) -> DealRecord:
    fields = {"account": "a1", "title": "Spring range", "stage": "proposal", "amount": "1200.5", "currency": "EUR"}
    return DealRecord.model_validate({"source_id": source, "created_at": NOON, "updated_at": NOON, **fields, **changed})


def an_order(source: str = "o1", **changed: object) -> OrderRecord:
    lines = [
        OrderLineRecord(sku="S-1", name="Scarf", quantity=3, unit_price=Decimal("19.9")),
        OrderLineRecord(sku="S-2", name="Box", quantity=1, unit_price=Decimal("0.30")),
    ]
    fields = {"number": "LI-20417", "account": "a1", "contact": "c1", "status": "delivered", "currency": "EUR"}
    return OrderRecord.model_validate({"source_id": source, "placed_at": NOON, "lines": lines, **fields, **changed})


def a_refund(**changed: object) -> IssueRefund:
    fields = {"order_id": ORDER, "amount": Decimal(10), "currency": "EUR", "reason": "damaged"}
    return IssueRefund.model_validate({**fields, **changed})


ACCOUNT, CONTACT = stable_id("acc", HERE, "a1"), stable_id("con", HERE, "c1")
DEAL, ORDER = stable_id("dea", HERE, "d1"), stable_id("ord", HERE, "o1")
COMPANY: list[CrmRecord] = [an_order(), a_deal(), a_contact(), an_account()]


@contextmanager
def a_new_crm(url: str = "") -> Iterator[EmbeddedCrm]:
    with TemporaryDirectory() as folder:
        database = Database(url or ready_company(Path(folder) / "company.db"))
        yield EmbeddedCrm(database)
        database.close()


@pytest.fixture
def empty(database_url: str) -> Iterator[EmbeddedCrm]:
    with a_new_crm(database_url) as crm:
        yield crm


@pytest.fixture
async def crm(empty: EmbeddedCrm) -> EmbeddedCrm:
    await empty.load(HERE, COMPANY)
    return empty


async def the_order(crm: EmbeddedCrm) -> Order:
    return (await crm.crm_get_orders(a_call(), GetOrders(order_id=ORDER))).orders[0]


async def names(crm: EmbeddedCrm, query: str, tenant: str = HERE) -> list[str]:
    page = await crm.crm_search_contacts(a_call(tenant=tenant), SearchContacts(query=query))
    return [contact.name for contact in page.contacts]


def it_serves_the_contract(crm: EmbeddedCrm) -> Crm:
    return crm


# Contacts


async def test_a_contact_is_found_with_its_account_and_its_times_in_utc(crm: EmbeddedCrm) -> None:
    contact = await crm.crm_get_contact(a_call(), GetContact(contact_id=CONTACT))
    assert contact == Contact(
        id=CONTACT,
        name="Åsa Österberg",
        email="asa@nordwind.example",
        title="Head of 100% Cotton",
        account_id=ACCOUNT,
        account_name="Nordwind GmbH",
        created_at=NOON,
        updated_at=NOON,
        version=1,
    )
    assert contact.updated_at.tzinfo is UTC


@pytest.mark.parametrize(
    "query",
    ["", "ÖSTERBERG", "o\u0308sterberg", "österberg ÅSA", "nordwind", "gmbh cotton", "asa@nordwind.example", "100%"],
)
async def test_every_word_of_a_query_is_found_in_any_case_and_any_field(crm: EmbeddedCrm, query: str) -> None:
    assert await names(crm, query) == ["Åsa Österberg"]


@pytest.mark.parametrize("query", ["österberg absent", "%", "_", "/", "10%0", "1_0%"])
async def test_wildcards_are_plain_characters_and_a_missing_word_finds_nothing(empty: EmbeddedCrm, query: str) -> None:
    await empty.load(HERE, [an_account(), a_contact(title="Head of 100 Cotton")])
    assert await names(empty, query) == []


async def test_contacts_are_filtered_by_exact_email_and_account(crm: EmbeddedCrm) -> None:
    await crm.load(HERE, [a_contact("c2", name="Bo", email="bo@else.example", account="")])
    for wanted in ({"email": "asa@nordwind.example"}, {"account_id": ACCOUNT}):
        page = await crm.crm_search_contacts(a_call(), SearchContacts.model_validate(wanted))
        assert [contact.id for contact in page.contacts] == [CONTACT]


async def test_a_created_contact_is_stored_once_per_key_and_can_be_searched(crm: EmbeddedCrm) -> None:
    new = CreateContact(name="Zoë Ñandú", email="zoe@nordwind.example", account_id=ACCOUNT)
    zone = timezone(timedelta(hours=2))
    first = await crm.crm_create_contact(a_call("one", now=NOON.astimezone(zone)), new)
    assert await crm.crm_create_contact(a_call("one"), new) == first
    assert (first.account_name, first.version, first.created_at) == ("Nordwind GmbH", 1, NOON)
    assert await names(crm, "ñANDÚ") == ["Zoë Ñandú"]


async def test_a_known_email_address_is_refused_with_the_contact_to_update(crm: EmbeddedCrm) -> None:
    with pytest.raises(Conflict, match=f"`asa@nordwind.example` already belongs to contact `{CONTACT}`") as refused:
        await crm.crm_create_contact(a_call(), CreateContact(name="Åsa", email="asa@nordwind.example"))
    assert refused.value.field == "email"


async def test_a_contact_cannot_be_created_at_an_account_that_is_not_there(crm: EmbeddedCrm) -> None:
    missing = stable_id("acc", HERE, "nowhere")
    with pytest.raises(NotFound, match=f"there is no account `{missing}`") as refused:
        await crm.crm_create_contact(a_call(), CreateContact(name="Bo", email="bo@x.example", account_id=missing))
    assert refused.value.field == "account_id"
    assert await names(crm, "Bo") == []


async def test_an_update_changes_the_given_fields_and_counts_the_version(crm: EmbeddedCrm) -> None:
    later = NOON + timedelta(hours=1)
    change = UpdateContact(contact_id=CONTACT, version=1, name="Åsa Lind", phone="+46 70 1")
    after = await crm.crm_update_contact(a_call("one", now=later), change)
    assert (after.name, after.phone, after.title) == ("Åsa Lind", "+46 70 1", "Head of 100% Cotton")
    assert (after.version, after.created_at, after.updated_at) == (2, NOON, later)
    assert await crm.crm_update_contact(a_call("one"), change) == after
    assert (await names(crm, "lind"), await names(crm, "österberg")) == (["Åsa Lind"], [])


async def test_an_update_for_an_old_version_is_refused_with_the_current_one(crm: EmbeddedCrm) -> None:
    await crm.crm_update_contact(a_call("one"), UpdateContact(contact_id=CONTACT, version=1, name="Åsa Lind"))
    with pytest.raises(Conflict, match=f"contact `{CONTACT}` is now at version 2, not 1; read it again") as refused:
        await crm.crm_update_contact(a_call("two"), UpdateContact(contact_id=CONTACT, version=1, name="Åsa Ek"))
    assert refused.value.field == "version"


@pytest.mark.parametrize("same", [{}, {"name": "Åsa Österberg", "language": "en"}])
async def test_an_update_that_changes_nothing_is_refused(crm: EmbeddedCrm, same: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"nothing to change in contact `{CONTACT}`; give .*`name`, `email`"):
        await crm.crm_update_contact(a_call(), UpdateContact(contact_id=CONTACT, version=1, **same))


async def test_an_update_cannot_take_the_email_address_of_another_contact(crm: EmbeddedCrm) -> None:
    await crm.load(HERE, [a_contact("c2", name="Bo", email="bo@else.example")])
    with pytest.raises(Conflict, match=stable_id("con", HERE, "c2")) as refused:
        await crm.crm_update_contact(a_call(), UpdateContact(contact_id=CONTACT, version=1, email="bo@else.example"))
    assert refused.value.field == "email"


# Accounts


async def test_accounts_are_found_by_words_tier_and_status(crm: EmbeddedCrm) -> None:
    await crm.load(HERE, [an_account("a2", name="Sørensen", domain="s.example", country="DK", tier="key")])
    for wanted, found in (
        ({"query": "SØRENSEN dk"}, ["Sørensen"]),
        ({"tier": "key"}, ["Sørensen"]),
        ({"query": "nordwind.example"}, ["Nordwind GmbH"]),
        ({"tier": "key", "query": "nordwind"}, []),
        ({"status": "closed"}, []),
    ):
        page = await crm.crm_search_accounts(a_call(), SearchAccounts.model_validate(wanted))
        assert [account.name for account in page.accounts] == found


async def test_an_account_is_read_by_its_id(crm: EmbeddedCrm) -> None:
    account = await crm.crm_get_account(a_call(), GetAccount(account_id=ACCOUNT))
    assert (account.name, account.owner, account.updated_at) == ("Nordwind GmbH", "ben@larkspur.example", NOON)


# Deals


async def test_deals_are_listed_by_account_stage_and_owner(crm: EmbeddedCrm) -> None:
    await crm.load(HERE, [a_deal("d2", stage="won", owner="Ben@larkspur.example")])
    won = stable_id("dea", HERE, "d2")
    for wanted, found in (
        ({"account_id": ACCOUNT}, {DEAL, won}),
        ({"stage": "proposal"}, {DEAL}),
        ({"owner": "ben@LARKSPUR.example"}, {won}),
        ({"owner": "ben"}, set()),
    ):
        page = await crm.crm_list_deals(a_call(), ListDeals.model_validate(wanted))
        assert {deal.id for deal in page.deals} == found


async def test_a_deal_is_updated_once_per_key(crm: EmbeddedCrm) -> None:
    before = await crm.crm_get_deal(a_call(), GetDeal(deal_id=DEAL))
    assert (str(before.amount), before.close_date) == ("1200.50", None)
    change = UpdateDeal(deal_id=DEAL, version=1, stage="won", amount=Decimal(1300), close_date=date(2026, 4, 1))
    after = await crm.crm_update_deal(a_call("one"), change)
    assert (after.stage, str(after.amount), after.close_date, after.version) == ("won", "1300.00", date(2026, 4, 1), 2)
    assert await crm.crm_update_deal(a_call("one"), change) == after


async def test_a_deal_update_needs_the_current_version_and_a_change(crm: EmbeddedCrm) -> None:
    with pytest.raises(Conflict, match="is now at version 1, not 7"):
        await crm.crm_update_deal(a_call(), UpdateDeal(deal_id=DEAL, version=7, next_step="Call"))
    with pytest.raises(InvalidInput, match="nothing to change in deal"):
        await crm.crm_update_deal(a_call(), UpdateDeal(deal_id=DEAL, version=1, amount=Decimal("1200.5")))


@pytest.mark.parametrize("stage", ["won", "lost"])
async def test_a_settled_deal_is_never_changed(crm: EmbeddedCrm, stage: str) -> None:
    await crm.load(HERE, [a_deal(stage=stage)])
    with pytest.raises(Conflict, match=f"deal `{DEAL}` is already {stage}") as refused:
        await crm.crm_update_deal(a_call(), UpdateDeal(deal_id=DEAL, version=2, next_step="Call"))
    assert refused.value.field == "deal_id"


# Orders and refunds


async def test_an_order_shows_its_lines_and_exact_money(crm: EmbeddedCrm) -> None:
    order = await the_order(crm)
    assert [(line.sku, line.quantity, str(line.unit_price)) for line in order.lines] == [
        ("S-1", 3, "19.90"),
        ("S-2", 1, "0.30"),
    ]
    assert (str(order.total), str(order.refunded), order.refunds) == ("60.00", "0.00", [])
    assert (order.account_id, order.contact_id) == (ACCOUNT, CONTACT)


@pytest.mark.parametrize(
    "wanted",
    [{"order_id": ORDER}, {"number": "li-20417"}, {"account_id": ACCOUNT}, {"contact_id": CONTACT}],
)
async def test_orders_are_found_by_each_filter(crm: EmbeddedCrm, wanted: dict[str, str]) -> None:
    await crm.load(HERE, [an_account("a2", name="B"), an_order("o2", number="LI-2", account="a2", contact="")])
    page = await crm.crm_get_orders(a_call(), GetOrders.model_validate(wanted))
    assert [order.id for order in page.orders] == [ORDER]


async def test_an_unknown_order_number_finds_nothing_and_an_unknown_id_is_an_error(crm: EmbeddedCrm) -> None:
    assert (await crm.crm_get_orders(a_call(), GetOrders(number="LI-0"))).orders == []
    with pytest.raises(NotFound) as refused:
        await crm.crm_get_orders(a_call(), GetOrders(order_id="ord_none"))
    assert refused.value.field == "order_id"


async def test_a_refund_is_given_once_per_key_and_counts_on_the_order(crm: EmbeddedCrm) -> None:
    refund = await crm.crm_issue_refund(a_call("one"), a_refund(note="box was wet"))
    assert await crm.crm_issue_refund(a_call("one"), a_refund(note="box was wet")) == refund
    assert (str(refund.amount), refund.issued_by, refund.issued_at) == ("10.00", "ana@larkspur.example", NOON)
    order = await the_order(crm)
    assert (order.refunds, str(order.refunded)) == ([refund], "10.00")


async def test_a_refund_above_the_rest_is_refused_with_what_remains(crm: EmbeddedCrm) -> None:
    await crm.crm_issue_refund(a_call("one"), a_refund(amount=Decimal("59.5")))
    with pytest.raises(Conflict, match=r"`0\.51` is more .* at most 0\.50 EUR can be given back") as refused:
        await crm.crm_issue_refund(a_call("two"), a_refund(amount=Decimal("0.51")))
    assert refused.value.field == "amount"
    await crm.crm_issue_refund(a_call("three"), a_refund(amount=Decimal("0.5")))
    with pytest.raises(Conflict, match=r"at most 0\.00 EUR"):
        await crm.crm_issue_refund(a_call("four"), a_refund(amount=Decimal("0.01")))


async def test_a_refund_in_another_currency_is_refused(crm: EmbeddedCrm) -> None:
    with pytest.raises(InvalidInput, match=f"order `{ORDER}` is in EUR, not `USD`") as refused:
        await crm.crm_issue_refund(a_call(), a_refund(currency="USD"))
    assert refused.value.field == "currency"


async def test_a_cancelled_order_gives_nothing_back(crm: EmbeddedCrm) -> None:
    await crm.load(HERE, [an_order(status="cancelled")])
    with pytest.raises(Conflict, match=f"order `{ORDER}` is cancelled") as refused:
        await crm.crm_issue_refund(a_call(), a_refund())
    assert refused.value.field == "order_id"


async def test_refunds_at_the_same_time_share_one_rest(crm: EmbeddedCrm) -> None:
    refused = []

    async def refund(number: int) -> None:
        try:
            await crm.crm_issue_refund(a_call(f"r{number}"), a_refund(amount=Decimal(25)))
        except Conflict as error:
            refused.append(error.field)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(refund, number)
    assert (str((await the_order(crm)).refunded), refused) == ("50.00", ["amount"] * 3)


CENTS = st.integers(min_value=1, max_value=4_000).map(lambda cents: Decimal(cents).scaleb(-2))


@settings(max_examples=25, deadline=None)
@given(amounts=st.lists(CENTS, max_size=6))
async def test_refunds_never_exceed_the_total_and_only_what_does_not_fit_is_refused(amounts: list[Decimal]) -> None:
    with a_new_crm() as crm:
        await crm.load(HERE, COMPANY)
        rest = Decimal("60.00")
        for number, amount in enumerate(amounts):
            try:
                await crm.crm_issue_refund(a_call(f"r{number}"), a_refund(amount=amount))
                rest -= amount
            except Conflict:
                assert amount > rest
        order = await the_order(crm)
        assert order.refunded == Decimal("60.00") - rest <= order.total


# Activities


async def test_an_activity_is_logged_once_per_key_under_the_actors_name(crm: EmbeddedCrm) -> None:
    what = LogActivity(kind="call", subject="Asked about delivery", contact_id=CONTACT)
    activity = await crm.crm_log_activity(a_call("one"), what)
    assert await crm.crm_log_activity(a_call("one"), what) == activity
    assert activity == Activity(
        id=stable_id("act", HERE, "one"),
        kind="call",
        subject="Asked about delivery",
        contact_id=CONTACT,
        actor="ana@larkspur.example",
        at=NOON,
    )


async def test_an_activity_must_concern_someone_who_is_there(crm: EmbeddedCrm) -> None:
    with pytest.raises(InvalidInput, match="give the `contact_id` or the `account_id`"):
        await crm.crm_log_activity(a_call(), LogActivity(kind="note", subject="Hello"))
    for wrong in ({"contact_id": "con_none"}, {"account_id": "acc_none"}):
        with pytest.raises(NotFound) as refused:
            await crm.crm_log_activity(a_call(), LogActivity.model_validate({"kind": "note", "subject": "x", **wrong}))
        assert [refused.value.field] == list(wrong)


# Tenants


BY_ID: dict[str, Any] = {
    "crm_get_contact": GetContact(contact_id=CONTACT),
    "crm_update_contact": UpdateContact(contact_id=CONTACT, version=1, name="X"),
    "crm_create_contact": CreateContact(name="Bo", email="bo@x.example", account_id=ACCOUNT),
    "crm_get_account": GetAccount(account_id=ACCOUNT),
    "crm_get_deal": GetDeal(deal_id=DEAL),
    "crm_update_deal": UpdateDeal(deal_id=DEAL, version=1, stage="lost"),
    "crm_get_orders": GetOrders(order_id=ORDER),
    "crm_log_activity": LogActivity(kind="note", subject="x", contact_id=CONTACT, account_id=ACCOUNT),
    "crm_issue_refund": a_refund(),
}
SEARCHES: dict[str, tuple[Any, ...]] = {
    "crm_search_contacts": (SearchContacts(), SearchContacts(account_id=ACCOUNT), SearchContacts(query="nordwind")),
    "crm_search_accounts": (SearchAccounts(), SearchAccounts(query="nordwind")),
    "crm_list_deals": (ListDeals(), ListDeals(account_id=ACCOUNT)),
    "crm_get_orders": (GetOrders(), GetOrders(account_id=ACCOUNT), GetOrders(number="LI-20417")),
}


def test_every_tool_has_its_tenant_test() -> None:
    assert {name for name in vars(Crm) if name.startswith("crm_")} == {*BY_ID, *SEARCHES}


@pytest.mark.parametrize("tool", BY_ID)
async def test_a_record_of_another_tenant_answers_like_a_missing_one(crm: EmbeddedCrm, tool: str) -> None:
    with pytest.raises(NotFound) as elsewhere:
        await getattr(crm, tool)(a_call(tenant=ELSEWHERE), BY_ID[tool])
    with a_new_crm() as nothing, pytest.raises(NotFound) as missing:
        await getattr(nothing, tool)(a_call(), BY_ID[tool])
    assert (elsewhere.value.message, elsewhere.value.field) == (missing.value.message, missing.value.field)


@pytest.mark.parametrize("tool", SEARCHES)
async def test_a_search_finds_nothing_of_another_tenant(crm: EmbeddedCrm, tool: str) -> None:
    for args in SEARCHES[tool]:
        mine, theirs = [
            (await getattr(crm, tool)(a_call(tenant=tenant), args)).model_dump() for tenant in (HERE, ELSEWHERE)
        ]
        assert [len(rows) for rows in mine.values()] == [1, 0]
        assert [len(rows) for rows in theirs.values()] == [0, 0]


async def test_tenants_may_know_the_same_person_and_use_the_same_key(crm: EmbeddedCrm) -> None:
    new = CreateContact(name="Bo", email="bo@x.example")
    made = [await crm.crm_create_contact(a_call("one", tenant), new) for tenant in (HERE, ELSEWHERE)]
    assert made[0].id != made[1].id
    assert (await names(crm, "bo", ELSEWHERE), await names(crm, "åsa", ELSEWHERE)) == (["Bo"], [])


# Pages


@settings(max_examples=25, deadline=None)
@given(minutes=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
async def test_walking_the_pages_gives_every_contact_once_newest_change_first(minutes: list[int], limit: int) -> None:
    with a_new_crm() as crm:
        await crm.load(
            HERE,
            [
                a_contact(f"c{n}", email=f"c{n}@x.example", updated_at=NOON + timedelta(minutes=minute))
                for n, minute in enumerate(minutes)
            ],
        )
        met, cursor = list[Contact](), ""
        while True:
            page = await crm.crm_search_contacts(a_call(), SearchContacts(query="example", limit=limit, cursor=cursor))
            assert len(page.contacts) == limit or not page.next_cursor
            met, cursor = [*met, *page.contacts], page.next_cursor
            if not cursor:
                break
        expected = {
            (NOON + timedelta(minutes=minute), stable_id("con", HERE, f"c{n}")) for n, minute in enumerate(minutes)
        }
        assert [(contact.updated_at, contact.id) for contact in met] == sorted(expected, reverse=True)


@pytest.mark.parametrize(
    "cursor", ["x", "WzFd", "WyJhIiwiYiJd", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiY29uX2FhYWEiXQ"]
)
async def test_a_cursor_that_was_not_made_here_is_refused(crm: EmbeddedCrm, cursor: str) -> None:
    for search in (
        crm.crm_search_contacts(a_call(), SearchContacts(cursor=cursor)),
        crm.crm_get_orders(a_call(), GetOrders(cursor=cursor)),
    ):
        with pytest.raises(InvalidInput, match="not a cursor of this tool; leave `cursor` out") as refused:
            await search
        assert refused.value.field == "cursor"


# Loading


ACTIVITY = ActivityRecord(source_id="x1", kind="call", subject="Hi", contact="c1", account="a1", actor="Ben", at=NOON)


async def test_loading_the_same_records_twice_equals_loading_them_once(empty: EmbeddedCrm) -> None:
    records: list[CrmRecord] = [
        *COMPANY,
        ACTIVITY,
        a_contact("c2", email="asa@nordwind.example", name="Åsa Ö."),
        an_account(),
    ]
    assert await empty.load(HERE, records) == LoadReport(added=5, changed=1, unchanged=1)
    before = (await the_order(empty), await names(empty, ""))
    assert await empty.load(HERE, records) == LoadReport(unchanged=7)
    assert (await the_order(empty), await names(empty, "")) == before
    assert await empty.load(HERE, []) == LoadReport()


async def test_a_changed_record_changes_its_row_and_counts_the_version(crm: EmbeddedCrm) -> None:
    report = await crm.load(HERE, [a_contact(title="CEO"), an_account(), a_deal("d2")])
    assert report == LoadReport(added=1, changed=1, unchanged=1)
    contact = await crm.crm_get_contact(a_call(), GetContact(contact_id=CONTACT))
    assert (contact.title, contact.version) == ("CEO", 2)


async def test_loading_the_same_record_again_leaves_what_people_changed(crm: EmbeddedCrm) -> None:
    await crm.crm_update_contact(a_call(), UpdateContact(contact_id=CONTACT, version=1, title="CEO"))
    await crm.load(HERE, [a_contact()])
    assert await names(crm, "ceo") == ["Åsa Österberg"]


async def test_a_contact_finds_its_account_by_name_even_if_that_comes_later(empty: EmbeddedCrm) -> None:
    contact = a_contact(account=" NORDWIND gmbh")
    await empty.load(HERE, [contact])
    assert (await empty.crm_get_contact(a_call(), GetContact(contact_id=CONTACT))).account_id is None
    assert await empty.load(HERE, [an_account(), contact]) == LoadReport(added=1, changed=1)
    assert (await empty.crm_get_contact(a_call(), GetContact(contact_id=CONTACT))).account_id == ACCOUNT


async def test_a_name_that_several_accounts_share_links_to_none(empty: EmbeddedCrm) -> None:
    await empty.load(HERE, [an_account("a1"), an_account("a2"), a_contact(account="Nordwind GmbH")])
    assert (await empty.crm_get_contact(a_call(), GetContact(contact_id=CONTACT))).account_id is None


async def test_one_email_address_is_one_contact_whatever_its_source(crm: EmbeddedCrm) -> None:
    assert await crm.load(HERE, [a_contact("other", name="Å. Österberg")]) == LoadReport(changed=1)
    assert await names(crm, "") == ["Å. Österberg"]
    assert await crm.load(HERE, [an_order("o2", contact="other")]) == LoadReport(added=1)
    page = await crm.crm_get_orders(a_call(), GetOrders(contact_id=CONTACT))
    assert len(page.orders) == 2


@settings(max_examples=40, deadline=None)
@given(
    loads=st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), unique_by=lambda pair: pair[0]),
        max_size=4,
    )
)
async def test_addresses_may_move_between_sources_and_each_stays_with_one_contact(
    loads: list[list[tuple[str, str]]],
) -> None:
    with a_new_crm() as crm:
        for turn, pairs in enumerate(loads):
            records = [
                a_contact(source, name=f"{source} {turn}", email=f"{email}@x.example") for source, email in pairs
            ]
            await crm.load(HERE, records)
            assert await crm.load(HERE, records) == LoadReport(unchanged=len(records))
            page = await crm.crm_search_contacts(a_call(), SearchContacts(limit=50))
            held = [contact.email for contact in page.contacts]
            assert len(held) == len(set(held))
            latest = {email: source for source, email in pairs}
            assert {contact.email: contact.name for contact in page.contacts}.items() >= {
                f"{email}@x.example": f"{source} {turn}" for email, source in latest.items()
            }.items()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (a_deal(account="nope"), "deal `d1` refers to the unknown account `nope`; load that account first"),
        (an_order(account="nope"), "order `o1` refers to the unknown account `nope`"),
        (an_order(contact="nope"), "order `o1` refers to the unknown contact `nope`"),
        (ACTIVITY.model_copy(update={"contact": "nope"}), "activity `x1` refers to the unknown contact `nope`"),
    ],
)
async def test_a_reference_to_what_was_never_loaded_is_named_and_nothing_is_loaded(
    crm: EmbeddedCrm, record: CrmRecord, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        await crm.load(HERE, [an_account("a9", name="Late"), record])
    assert (await crm.crm_search_accounts(a_call(), SearchAccounts(query="late"))).accounts == []


async def test_an_order_loaded_anew_keeps_the_refunds_that_were_given_here(crm: EmbeddedCrm) -> None:
    given_here = await crm.crm_issue_refund(a_call("one"), a_refund())
    past = RefundRecord(amount=Decimal(5), reason="late", issued_by="Ben", issued_at=NOON - timedelta(days=9))
    for _ in range(2):
        await crm.load(HERE, [an_order(refunds=[past], status="returned")])
        order = await the_order(crm)
        assert [(refund.issued_by, str(refund.amount)) for refund in order.refunds] == [
            ("Ben", "5.00"),
            (given_here.issued_by, "10.00"),
        ]
        assert (order.status, str(order.refunded)) == ("returned", "15.00")
