"""The shipped policy as a table: who, which tool, with what, and what is decided by which rules."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache

import casbin
import pytest

from connectors.contract import Confidentiality
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.flow import UNTOUCHED, Flow
from gateway.policy.language.history import EMPTY, History
from gateway.policy.load import load_policy
from gateway.policy.testing.cases import Case, load_cases
from gateway.principal import Principal
from tests.policy.making import NOW, SHIPPED, TOOLS

COMPANY = "larkspur.example"
PEOPLE = {
    "ana": f"ana.ruiz@{COMPANY}",
    "jonas": f"jonas.weber@{COMPANY}",
    "maya": f"maya.okafor@{COMPANY}",
    "tom": f"tom.lindqvist@{COMPANY}",
    "ines": f"ines.moreau@{COMPANY}",
    "nadia": f"nadia.haddad@{COMPANY}",
    "nobody": f"new.hire@{COMPANY}",
}
SUPPORT, SALES, PRIVATE = f"support@{COMPANY}", f"sales@{COMPANY}", "ceo@elsewhere.example"
COLLEAGUE, CUSTOMER, ATTACKER = f"jonas.weber@{COMPANY}", "lena@brightlab.example", "drop@evil.example"
CARRIER = "claims@nordvia.example"


@cache
def shipped() -> Policy:
    return load_policy(SHIPPED, TOOLS)


def principal(who: str) -> Principal:
    """`ana`, `triage` or `triage for ana`."""
    agent, _, person = who.partition(" for ") if " for " in who else ("", "", who)
    if who in ("triage", "assistant", "sales"):
        agent, person = who, ""
    return Principal("larkspur", person=PEOPLE.get(person), agent=agent or None)


def refund(amount: str) -> Mapping[str, object]:
    return {"order_id": "ord_0001", "amount": Decimal(amount), "currency": "EUR", "reason": "late", "note": ""}


def message(mailbox: str, to: list[str], cc: list[str] | None = None) -> Mapping[str, object]:
    return {"mailbox": mailbox, "to": to, "cc": cc or [], "subject": "s", "body": "b"}


def ticket(**changed: object) -> Mapping[str, object]:
    unchanged = {"status": None, "priority": None, "assignee": None, "tags": None}
    return {"ticket_id": "tic_0001", "version": 1, **unchanged, **changed}


def contact(**changed: object) -> Mapping[str, object]:
    unchanged = dict.fromkeys(("name", "email", "phone", "title", "language", "notes"))
    return {"contact_id": "con_0001", "version": 1, **unchanged, **changed}


def deal(amount: Decimal | None) -> Mapping[str, object]:
    return {"deal_id": "dea_0001", "version": 1, "stage": None, "amount": amount, "close_date": None, "next_step": None}


NOTHING_SEEN = Flow(
    confidentiality={"subject": Confidentiality.PUBLIC, "body": Confidentiality.PUBLIC},
    audience={"to": Confidentiality.PUBLIC, "cc": Confidentiality.PUBLIC},
)
"""The flow of a run that has seen nothing, into a call that says something to somebody."""
FLOWS = [case for case in load_cases(SHIPPED, TOOLS) if isinstance(case, Case) and case.flow != UNTOUCHED]
"""The rows of `policies/tests` that tell a data flow; that they hold is tested with the other policy tests."""

THREAD = {"mailbox": SUPPORT, "thread_id": "thr_0001"}
SEARCH = {"mailbox": SUPPORT, "query": "", "folder": None, "sender": None, "unread": None, "limit": 20, "cursor": ""}
DRAFT = {"mailbox": SUPPORT, "draft_id": "dra_0001", "version": 1}
REPLY = {"mailbox": SUPPORT, "message_id": "msg_0001", "body": "b"}
NOTE = {"ticket_id": "tic_0001", "body": "b"}
ANY: Mapping[str, object] = {}

DECISIONS: list[tuple[str, str, Mapping[str, object], str, str]] = [
    # The sales agent
    ("sales", "crm_list_deals", {}, "allow", "G01"),
    ("sales", "crm_log_activity", {}, "allow", "G02"),
    ("sales", "email_search_messages", SEARCH | {"mailbox": SALES}, "allow", "G03"),
    ("sales", "email_search_messages", SEARCH, "deny", ""),
    ("sales", "email_get_thread", THREAD | {"mailbox": SALES}, "allow", "G04"),
    ("sales", "email_create_draft", message(SALES, [CUSTOMER]), "allow", "G05"),
    ("sales", "email_reply_message", {"mailbox": SALES, "message_id": "msg_0001", "body": "b"}, "ask", "G06"),
    ("sales", "email_send_message", message(SALES, [CUSTOMER]), "deny", ""),
    ("sales", "crm_update_contact", contact(phone="1"), "deny", ""),
    # Refunds
    ("ana", "crm_issue_refund", refund("0.01"), "allow", "F01"),
    ("ana", "crm_issue_refund", refund("50"), "allow", "F01"),
    ("ana", "crm_issue_refund", refund("50.01"), "ask", "F02"),
    ("ana", "crm_issue_refund", refund("500"), "ask", "F02"),
    ("ana", "crm_issue_refund", refund("500.01"), "deny", "F03"),
    ("ana", "crm_issue_refund", refund("5000.01"), "deny", "E03 F03"),
    ("jonas", "crm_issue_refund", refund("49.90"), "allow", "F01"),
    ("maya", "crm_issue_refund", refund("50.01"), "allow", "F11"),
    ("maya", "crm_issue_refund", refund("500"), "allow", "F11"),
    ("maya", "crm_issue_refund", refund("500.01"), "ask", "F12"),
    ("maya", "crm_issue_refund", refund("5000"), "ask", "F12"),
    ("maya", "crm_issue_refund", refund("5000.01"), "deny", "E03"),
    ("tom", "crm_issue_refund", refund("1"), "deny", "C02"),
    ("ines", "crm_issue_refund", refund("1"), "deny", ""),
    ("nobody", "crm_issue_refund", refund("1"), "deny", ""),
    ("triage", "crm_issue_refund", refund("10"), "ask", "T05"),
    ("triage", "crm_issue_refund", refund("200"), "ask", "T05"),
    ("triage", "crm_issue_refund", refund("200.01"), "deny", "T06"),
    ("triage for ana", "crm_issue_refund", refund("10"), "ask", "T05"),
    ("triage for ana", "crm_issue_refund", refund("120"), "ask", "F02 T05"),
    ("triage for ana", "crm_issue_refund", refund("600"), "deny", "F03 T06 T11"),
    ("triage for maya", "crm_issue_refund", refund("400"), "deny", "T06"),
    ("triage for maya", "crm_issue_refund", refund("5001"), "deny", "E03 T06 T11"),
    ("triage for tom", "crm_issue_refund", refund("10"), "deny", "C02"),
    ("assistant for maya", "crm_issue_refund", refund("10"), "deny", ""),
    # New mail
    ("ana", "email_send_message", message(SUPPORT, [COLLEAGUE]), "allow", "S04"),
    ("ana", "email_send_message", message(SUPPORT, [CARRIER], [COLLEAGUE]), "allow", "S04"),
    ("triage", "email_send_message", message(SUPPORT, [CARRIER]), "deny", "T07"),
    ("ana", "email_send_message", message(SUPPORT, [CUSTOMER]), "ask", "S05"),
    ("ana", "email_send_message", message(SUPPORT, [COLLEAGUE], [CUSTOMER]), "ask", "S05"),
    ("ana", "email_send_message", message(SUPPORT, [COLLEAGUE, CUSTOMER]), "ask", "S05"),
    ("ana", "email_send_message", message(SUPPORT, ["a@sub.larkspur.example"]), "ask", "S05"),
    ("ana", "email_send_message", message(SUPPORT, ["a@notlarkspur.example"]), "ask", "S05"),
    ("ana", "email_send_message", message(SALES, [COLLEAGUE]), "deny", ""),
    ("ana", "email_send_message", message(PRIVATE, [COLLEAGUE]), "deny", "E01"),
    ("maya", "email_send_message", message(SUPPORT, [CUSTOMER]), "ask", "S05"),
    ("tom", "email_send_message", message(SALES, [CUSTOMER]), "allow", "C04"),
    ("tom", "email_send_message", message(SUPPORT, [CUSTOMER]), "deny", ""),
    ("ines", "email_send_message", message(SUPPORT, [COLLEAGUE]), "deny", ""),
    ("triage", "email_send_message", message(SUPPORT, [ATTACKER]), "deny", "T07"),
    ("triage", "email_send_message", message(SUPPORT, [COLLEAGUE], [ATTACKER]), "deny", "T07"),
    ("triage", "email_send_message", message(SUPPORT, [COLLEAGUE]), "ask", "T08"),
    ("triage", "email_send_message", message(SALES, [COLLEAGUE]), "deny", ""),
    ("triage for ana", "email_send_message", message(SUPPORT, [ATTACKER]), "deny", "T07"),
    ("triage for ana", "email_send_message", message(SUPPORT, [COLLEAGUE]), "ask", "T08"),
    ("triage for tom", "email_send_message", message(SALES, [CUSTOMER]), "deny", "T07"),
    ("assistant for tom", "email_send_message", message(SALES, [CUSTOMER]), "ask", "A05"),
    ("assistant for tom", "email_send_message", message(SUPPORT, [CUSTOMER]), "deny", ""),
    ("assistant for ana", "email_send_message", message(SUPPORT, [CUSTOMER]), "ask", "S05 A05"),
    ("assistant", "email_send_message", message(SUPPORT, [COLLEAGUE]), "deny", "A01"),
    ("ana", "email_send_message", message(SUPPORT, ["desk@harbour-express.example"]), "allow", "S04"),
    ("ana", "email_send_message", message(SUPPORT, ["qa@ostermann-feinmechanik.example"]), "allow", "S04"),
    # Drafts and answers
    ("ana", "email_create_draft", message(SUPPORT, [CUSTOMER]), "allow", "M04"),
    ("ana", "email_update_draft", {**DRAFT, "to": None, "cc": None}, "allow", "M05"),
    ("ana", "email_update_draft", {**DRAFT, "mailbox": SALES, "to": None, "cc": None}, "deny", ""),
    ("ana", "email_send_draft", DRAFT, "ask", "S06"),
    ("ana", "email_reply_message", REPLY, "allow", "S03"),
    ("ana", "email_reply_message", {**REPLY, "mailbox": SALES}, "deny", ""),
    ("tom", "email_reply_message", {**REPLY, "mailbox": SALES}, "allow", "C04"),
    ("triage", "email_create_draft", message(SUPPORT, [CUSTOMER]), "allow", "M04"),
    ("triage", "email_create_draft", message(SALES, [CUSTOMER]), "deny", ""),
    ("triage", "email_send_draft", DRAFT, "deny", "T09"),
    ("triage", "email_reply_message", REPLY, "ask", "T10"),
    ("triage for ana", "email_send_draft", DRAFT, "deny", "T09"),
    ("assistant for ana", "email_create_draft", message(SUPPORT, [CUSTOMER]), "allow", "M04 A04"),
    ("assistant for ana", "email_reply_message", REPLY, "ask", "A06"),
    # Reading mail
    ("ana", "email_get_thread", THREAD, "allow", "M02"),
    ("ana", "email_get_thread", {**THREAD, "mailbox": SALES}, "deny", ""),
    ("tom", "email_get_thread", {**THREAD, "mailbox": SALES}, "allow", "C04"),
    ("tom", "email_search_messages", SEARCH, "deny", ""),
    ("ines", "email_search_messages", SEARCH, "deny", ""),
    ("ines", "email_search_messages", {**SEARCH, "mailbox": PRIVATE}, "deny", "E01"),
    ("ines", "email_get_thread", THREAD, "deny", ""),
    ("ines", "email_read_attachment", {"mailbox": SUPPORT, "attachment_id": "att_0001"}, "deny", ""),
    ("triage", "email_get_thread", THREAD, "allow", "M02"),
    ("triage", "email_read_attachment", {"mailbox": SUPPORT, "attachment_id": "att_0001"}, "allow", "M03"),
    ("triage for tom", "email_get_thread", THREAD, "deny", ""),
    ("assistant for ines", "email_search_messages", SEARCH, "deny", ""),
    ("assistant for ines", "email_get_thread", THREAD, "deny", ""),
    ("ana", "email_search_messages", SEARCH, "allow", "M01"),
    ("ana", "email_search_messages", {**SEARCH, "mailbox": SALES}, "deny", ""),
    ("ana", "email_search_messages", {**SEARCH, "mailbox": "support@notlarkspur.example"}, "deny", "E01"),
    ("ana", "email_read_attachment", {"mailbox": SALES, "attachment_id": "att_0001"}, "deny", ""),
    # Tickets
    ("ana", "ticket_search_tickets", {"query": "refunds"}, "allow", "R05 S01"),
    ("jonas", "ticket_add_note", NOTE, "allow", "S01"),
    ("ana", "ticket_add_reply", NOTE, "allow", "S01"),
    ("ana", "ticket_update_ticket", ticket(status="solved", assignee=COLLEAGUE), "allow", "S01"),
    ("ana", "ticket_update_ticket", ticket(assignee=ATTACKER), "deny", "E02"),
    ("tom", "ticket_get_ticket", {"ticket_id": "tic_0001"}, "allow", "R06"),
    ("tom", "ticket_update_ticket", ticket(status="open"), "deny", ""),
    ("ines", "ticket_get_ticket", {"ticket_id": "tic_0001"}, "allow", "R06"),
    ("ines", "ticket_add_note", NOTE, "deny", ""),
    ("triage", "ticket_update_ticket", ticket(priority="high", tags=["refund"]), "allow", "T01"),
    ("triage", "ticket_update_ticket", ticket(status="pending"), "allow", "T01"),
    ("triage", "ticket_update_ticket", ticket(status="closed"), "ask", "T02"),
    ("triage", "ticket_update_ticket", ticket(assignee=ATTACKER), "deny", "E02"),
    ("triage", "ticket_add_note", NOTE, "allow", "T03"),
    ("triage", "ticket_add_reply", NOTE, "ask", "T04"),
    ("triage for ana", "ticket_add_reply", NOTE, "ask", "T04"),
    ("triage for ana", "ticket_get_ticket", {"ticket_id": "tic_0001"}, "allow", "R06 S01"),
    ("triage", "ticket_create_ticket", ANY, "deny", ""),
    ("assistant for ana", "ticket_add_note", NOTE, "allow", "S01 A07"),
    ("assistant for ana", "ticket_add_reply", NOTE, "ask", "A08"),
    ("assistant for tom", "ticket_add_note", NOTE, "deny", ""),
    # Customers, deals, knowledge
    ("ana", "crm_search_contacts", {"query": "lena"}, "allow", "R01"),
    ("ana", "crm_get_account", {"account_id": "acc_0001"}, "allow", "R03"),
    ("ana", "crm_log_activity", {"kind": "call", "subject": "s"}, "allow", "S02"),
    ("ines", "crm_list_deals", {"stage": None}, "allow", "U02"),
    ("nadia", "crm_get_contact", {"contact_id": "con_0001"}, "allow", "R02"),
    ("nadia", "crm_issue_refund", refund("1"), "deny", ""),
    ("assistant for tom", "crm_list_deals", {"stage": None}, "allow", "C01 A03"),
    ("ana", "crm_get_contact", {"contact_id": "con_0001"}, "allow", "R02"),
    ("ana", "crm_get_deal", {"deal_id": "dea_0001"}, "deny", ""),
    ("ana", "crm_update_contact", contact(phone="+34 600"), "deny", ""),
    ("maya", "crm_update_contact", contact(phone="+34 600"), "allow", "L01"),
    ("maya", "crm_update_contact", contact(email=ATTACKER), "ask", "L02"),
    ("tom", "crm_update_contact", contact(email=CUSTOMER), "allow", "C01"),
    ("tom", "crm_update_deal", deal(None), "allow", "C01"),
    ("tom", "crm_update_deal", deal(Decimal(50000)), "allow", "C01"),
    ("tom", "crm_update_deal", deal(Decimal("50000.01")), "ask", "C03"),
    ("ines", "crm_get_deal", {"deal_id": "dea_0001"}, "allow", "U01"),
    ("ines", "crm_update_deal", deal(None), "deny", ""),
    ("triage", "crm_get_orders", ANY, "allow", "R04"),
    ("triage", "crm_list_deals", ANY, "deny", ""),
    ("triage for ines", "knowledge_search_documents", {"query": "refunds"}, "allow", "R07"),
    ("assistant for tom", "crm_get_deal", {"deal_id": "dea_0001"}, "allow", "C01 A02"),
    ("assistant for ana", "crm_get_deal", {"deal_id": "dea_0001"}, "deny", ""),
    ("assistant for ana", "crm_get_contact", {"contact_id": "con_0001"}, "allow", "R02"),
    ("assistant", "knowledge_get_document", {"document_id": "doc_0001"}, "deny", "A01"),
    ("nobody", "knowledge_get_document", {"document_id": "doc_0001"}, "deny", ""),
]


NIGHT, SATURDAY = datetime(2026, 3, 2, 5, 59, tzinfo=UTC), datetime(2026, 3, 7, 12, tzinfo=UTC)
IN_NEW_YORK = datetime(2026, 3, 2, 18, 30, tzinfo=timezone(timedelta(hours=-5)))  # 23:30 in UTC
TO_CUSTOMER, TODAY = message(SALES, [CUSTOMER]), NOW.date()
REFUNDED_300 = History({"crm_issue_refund": [{"amount": "100.00"}, {"amount": Decimal(200)}]})
ANSWERED_500 = History({"ticket_add_reply": [NOTE] * 300, "ticket_add_note": [NOTE] * 200, "crm_get_contact": [ANY]})

LATER_DECISIONS: list[tuple[str, str, Mapping[str, object], datetime, History | None, str, str]] = [
    ("tom", "email_send_message", TO_CUSTOMER, NOW.replace(hour=6, minute=0), EMPTY, "allow", "C04"),
    ("tom", "email_send_message", TO_CUSTOMER, NOW.replace(hour=18, minute=59), EMPTY, "allow", "C04"),
    ("tom", "email_send_message", TO_CUSTOMER, NOW.replace(hour=19, minute=0), EMPTY, "ask", "C05"),
    ("tom", "email_send_message", TO_CUSTOMER, NIGHT, EMPTY, "ask", "C05"),
    ("tom", "email_send_message", TO_CUSTOMER, SATURDAY - timedelta(days=1), EMPTY, "allow", "C04"),
    ("tom", "email_send_message", TO_CUSTOMER, SATURDAY, EMPTY, "ask", "C05"),
    ("tom", "email_send_message", TO_CUSTOMER, IN_NEW_YORK, EMPTY, "ask", "C05"),
    ("tom", "email_send_draft", {**DRAFT, "mailbox": SALES}, SATURDAY, EMPTY, "ask", "C05"),
    ("tom", "email_send_draft", {**DRAFT, "mailbox": SUPPORT}, SATURDAY, EMPTY, "deny", ""),
    ("tom", "email_create_draft", TO_CUSTOMER, SATURDAY, EMPTY, "allow", "C04"),
    ("tom", "crm_update_deal", {**deal(None), "close_date": TODAY}, NOW, EMPTY, "allow", "C01"),
    ("tom", "crm_update_deal", {**deal(None), "close_date": TODAY - timedelta(days=1)}, NOW, EMPTY, "ask", "C06"),
    ("triage", "crm_issue_refund", refund("100"), NOW, REFUNDED_300, "ask", "T05"),
    ("triage", "crm_issue_refund", refund("100.01"), NOW, REFUNDED_300, "deny", "T11"),
    ("triage", "crm_issue_refund", refund("1"), NOW, None, "deny", "T11"),
    ("ana", "crm_issue_refund", refund("1"), NOW, None, "allow", "F01"),
    ("triage", "ticket_add_note", NOTE, NOW, ANSWERED_500, "deny", "T12"),
    ("triage", "ticket_add_note", NOTE, NOW, History({"ticket_add_note": [NOTE] * 499}), "allow", "T03"),
    ("triage", "ticket_add_reply", NOTE, NOW, None, "deny", "T12"),
]


@pytest.mark.parametrize(("who", "tool", "args", "now", "history", "verdict", "rules"), LATER_DECISIONS)
def test_the_shipped_policy_decides_by_the_time_and_by_what_the_run_did_before(
    who: str, tool: str, args: Mapping[str, object], now: datetime, history: History | None, verdict: str, rules: str
) -> None:
    decision = shipped().decide(principal(who), tool, args, now, history, NOTHING_SEEN)
    assert (decision.verdict, " ".join(decision.rules)) == (verdict, rules), decision.reason


def test_only_the_tools_of_the_triage_agents_limits_need_the_history_of_the_run() -> None:
    needed = {tool: set(shipped().needs_history(tool)) for tool in shipped().tools if shipped().needs_history(tool)}
    assert needed == {
        "crm_issue_refund": {"crm_issue_refund"},
        "ticket_add_note": {"ticket_add_note", "ticket_add_reply"},
        "ticket_add_reply": {"ticket_add_note", "ticket_add_reply"},
    }


@pytest.mark.parametrize(("who", "tool", "args", "verdict", "rules"), DECISIONS)
def test_the_shipped_policy_decides(who: str, tool: str, args: Mapping[str, object], verdict: str, rules: str) -> None:
    decision = shipped().decide(principal(who), tool, args, NOW, EMPTY, NOTHING_SEEN)
    assert (decision.verdict, " ".join(decision.rules)) == (verdict, rules), decision.reason


def test_every_shipped_rule_makes_at_least_one_decision_of_the_table() -> None:
    named = [*(row[-1].split() for row in DECISIONS), *(row[-1].split() for row in LATER_DECISIONS)]
    named += [list(case.rules or ()) for case in FLOWS]
    limits = {limit.id for limit in shipped().limits}
    assert {rule.id for rule in shipped().rules} == {rule for rules in named for rule in rules} - limits


READS = {
    "crm_get_account",
    "crm_get_contact",
    "crm_get_orders",
    "crm_search_accounts",
    "crm_search_contacts",
    "knowledge_get_document",
    "knowledge_search_documents",
    "ticket_get_ticket",
    "ticket_search_tickets",
}
TICKETS = {"ticket_create_ticket", "ticket_update_ticket", "ticket_add_note", "ticket_add_reply"}
MAIL_READS = {"email_search_messages", "email_get_thread", "email_read_attachment"}
MAIL = MAIL_READS | {"email_create_draft", "email_update_draft", "email_send_draft", "email_send_message"}
MAIL |= {"email_reply_message"}
DEALS = {"crm_get_deal", "crm_list_deals"}
SUPPORT_TOOLS = READS | TICKETS | MAIL | {"crm_log_activity", "crm_issue_refund"}

VISIBLE: list[tuple[str, set[str]]] = [
    ("ana", SUPPORT_TOOLS),
    ("maya", SUPPORT_TOOLS | {"crm_update_contact"}),
    (
        "tom",
        READS | MAIL | DEALS | {"crm_create_contact", "crm_update_contact", "crm_update_deal", "crm_log_activity"},
    ),
    ("ines", READS | DEALS),
    ("nobody", set()),
    (
        "triage",
        READS
        | (MAIL - {"email_send_draft"})
        | {"ticket_update_ticket", "ticket_add_note", "ticket_add_reply", "crm_issue_refund"},
    ),
    ("triage for tom", READS | (MAIL - {"email_send_draft"})),
    ("triage for ines", READS),
    ("assistant", set()),
    ("assistant for ana", READS | MAIL | {"ticket_add_note", "ticket_add_reply"}),
    ("assistant for ines", READS | DEALS),
]


@pytest.mark.parametrize(("who", "tools"), VISIBLE)
def test_each_principal_sees_what_it_could_be_allowed_or_asked_for(who: str, tools: set[str]) -> None:
    assert shipped().visible(principal(who), NOW) == tools


def test_nothing_is_visible_or_allowed_in_another_tenant() -> None:
    stranger = Principal("thistle", person=PEOPLE["maya"])
    assert shipped().visible(stranger, NOW) == frozenset()
    assert shipped().decide(stranger, "crm_get_contact", {"contact_id": "con_0001"}, NOW).verdict is Verdict.DENY


def test_groups_name_each_partys_roles_with_inherited_ones() -> None:
    team = {"support_agent", "support_mailbox", "reader", "everyone"}
    assert shipped().groups(principal("maya")) == (frozenset(team | {"support_lead", "refund_senior"}),)
    assert shipped().groups(principal("triage for ana")) == (
        frozenset(team | {"refund_standard"}),
        frozenset({"triage_agent", "support_mailbox", "reader", "everyone"}),
    )
    assert shipped().groups(principal("nobody")) == (frozenset({"everyone"}),)


def test_reasons_are_sentences_that_name_the_rules_and_their_notes() -> None:
    def reason(who: str, tool: str, args: Mapping[str, object]) -> str:
        return shipped().decide(principal(who), tool, args, NOW).reason

    assert reason("ana", "crm_issue_refund", refund("5")) == "rule F01 allows it: refunds up to 50"
    assert reason("ana", "crm_issue_refund", refund("60")) == (
        "rule F02 asks for approval: refunds above 50 need a second look"
    )
    assert reason("triage for ana", "crm_issue_refund", refund("600")) == (
        "rules F03, T06 and T11 deny it: refunds above 500 are made by the support lead; "
        "refunds above 200 are not for an agent; one run refunds at most 400 in all"
    )
    assert reason("ines", "ticket_add_note", NOTE) == (
        f"no rule allows person:ines.moreau@{COMPANY} to call `ticket_add_note`"
    )
    assert reason("triage", "email_get_thread", {**THREAD, "mailbox": SALES}) == (
        "no rule allows agent:triage to call `email_get_thread` with these arguments"
    )


def test_casbins_own_file_adapter_reads_every_shipped_line() -> None:
    enforcer = casbin.Enforcer(str(SHIPPED / "model.conf"), str(SHIPPED / "rules.csv"))
    assert [line[0] for line in enforcer.get_policy()] == [rule.id for rule in shipped().rules]
    assert {len(line) for line in enforcer.get_policy()} == {6}
    enforcer = casbin.Enforcer(str(SHIPPED / "model.conf"), str(SHIPPED / "roles.csv"))
    assert [tuple(line) for line in enforcer.get_grouping_policy()] == [
        (link.subject, link.role, link.tenant) for link in shipped().links
    ]
