"""With which words a person asks for what a tool does."""

import pytest

from connectors.contract import Effect
from gateway.policy.judge import Policy
from gateway.policy.lint.lint import lint
from gateway.policy.load import load_policy, policy_from_texts
from gateway.policy.problem import PolicyError
from tests.policy.making import MODEL, SHIPPED, TEAM, TOOLS, team_rules


def texts(*lines: str) -> dict[str, str]:
    rules = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": team_rules("* |  | allow | ")}
    return {**rules, "intents.csv": "\n".join(lines)}


def policy(*lines: str) -> Policy:
    return policy_from_texts(texts(*lines), TOOLS)


@pytest.mark.parametrize(
    ("words", "asked", "not_asked"),
    [
        ("refund", ["Refund it", "REFUND!", "(refund) 5", "refund-5"], ["refunded", "prefund", "re fund", ""]),
        ("refund*", ["refunds", "Refunded?", "refund"], ["prefund", "fund"]),
        ("money+back", ["my money back", "Money, back!", "money-back"], ["back money", "money is back", "moneyback"]),
        ("geld+zurück*", ["Geld zurückgeben"], ["zurück das Geld"]),
        ("e-mail", ["an e-mail", "E Mail"], ["email", "mail"]),
        ("lösch*", ["LÖSCHEN", "lo\u0308schen", "löscht"], ["loschen"]),
        ("straße", ["STRASSE", "straße", "\uff33trasse"], ["strass"]),
        ("écri*", ["écris-lui", "\u00c9CRIRE"], ["ecrire"]),
        ("удал*", ["Удали файл"], ["уда"]),
        ("d'accord", ["d’accord", "D'ACCORD"], ["accord"]),
    ],
)  # fmt: skip
def test_whole_words_in_any_case_and_form_are_found(words: str, asked: list[str], not_asked: list[str]) -> None:
    found = policy(f'intent, crm_issue_refund, "{words}"')
    assert [request for request in asked if not found.intends("crm_issue_refund", request)] == []
    assert [request for request in not_asked if found.intends("crm_issue_refund", request)] == []


def test_every_line_that_covers_a_tool_counts_for_it() -> None:
    found = policy("intent, crm_*, change", "intent, crm_update_contact, correct", "intent, crm_update_contact, mend")
    assert [found.intends("crm_update_contact", word) for word in ("change", "correct", "mend")] == [True] * 3
    assert [found.intends("crm_update_deal", word) for word in ("change", "correct", "mend")] == [True, False, False]
    assert not found.intends("email_send_message", "change correct mend")
    assert not found.intends("no_such_tool", "change")


def test_without_the_file_no_words_ask_for_anything() -> None:
    without = {name: text for name, text in texts().items() if name != "intents.csv"}
    assert not policy_from_texts(without, TOOLS).intends("crm_issue_refund", "refund")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("intend, crm_*, x", "1:1: error: unknown line type `intend`: lines of intents.csv start with `intent`"),
        ("intent, crm_*", "1:1: error: expected 3 columns (intent, tool, words), found 2"),
        ("intent, crm_*, a, b", "1:1: error: expected 3 columns (intent, tool, words), found 4: put all words into one "
         "pair of double quotes"),
        ("intent, crm_isue_refund, x", "1:9: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?"),
        ("intent, crm*refund, x", "1:9: error: tool `crm*refund` must be a tool's name, or its beginning followed by "
         "one `*`"),
        ('intent, crm_*, ""', "1:17: error: the words are missing"),
        ('intent, crm_*, "pay *"', "1:21: error: `*` is no word: write letters or digits, and `+` between the words of "
         "a phrase"),
        ('intent, crm_*, "pay re*"', "1:21: error: `re*` stands for too much: write 3 letters or more before `*`"),
        ('intent, crm_*, "*fund"', "1:17: error: `*fund`: a `*` may only end a word"),
        ('intent, crm_*, "pay+"', "1:17: error: `pay+` is no word: write letters or digits, and `+` between the words "
         "of a phrase"),
        ('intent, crm_*, "pay, refund"', "1:17: error: `pay,`: `,` is not part of a word; words stand between blanks"),
        ('intent, crm_*, "pay pay"', "1:21: error: `pay` is already said of `crm_*`"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(line: str, problem: str) -> None:
    with pytest.raises(PolicyError) as refused:
        policy(line)
    assert [str(each) for each in refused.value.problems] == [f"intents.csv:{problem}"]


def test_a_tool_that_changes_something_and_has_no_words_is_warned_of_only_if_there_is_the_file() -> None:
    written = texts("intent, crm_*, change", "intent, ticket_*, change")
    found = [str(each) for each in lint(policy_from_texts(written, TOOLS), written, TOOLS)]
    assert found == [
        f"intents.csv:1:1: warning: no words ask for `{tool.name}`: for rules that want it asked for, it never is"
        for tool in TOOLS
        if tool.name.startswith("email_") and tool.effect is not Effect.READ
    ]
    without = {name: text for name, text in written.items() if name != "intents.csv"}
    assert list(lint(policy_from_texts(without, TOOLS), without, TOOLS)) == []


SHIPPED_POLICY = load_policy(SHIPPED, TOOLS)
REQUESTS = [
    ("crm_issue_refund", "Please refund Kim 40 EUR for the late order",
     "Bitte erstatte Kim 40 EUR für die verspätete Bestellung", "Rembourse 40 EUR à Kim, sa commande est en retard"),
    ("email_send_message", "Send Kim our price list", "Schick Kim unsere Preisliste",
     "Envoie notre liste de prix à Kim"),
    ("email_reply_message", "Reply to Kim that it ships tomorrow", "Antworte Kim, dass es morgen rausgeht",
     "Réponds à Kim que cela part demain"),
    ("email_create_draft", "Draft an answer to Kim", "Bereite einen Entwurf für Kim vor",
     "Prépare une réponse pour Kim"),
    ("ticket_update_ticket", "Close the ticket", "Schließe das Ticket", "Ferme le ticket"),
    ("ticket_add_note", "Leave a note on the ticket", "Hinterlasse eine Notiz am Ticket",
     "Ajoute une remarque au ticket"),
    ("crm_update_contact", "Change Kim's phone number", "Ändere Kims Telefonnummer", "Mets à jour le numéro de Kim"),
    ("crm_create_contact", "Add Kim to the CRM", "Lege Kim als Kontakt an", "Enregistre Kim comme contact"),
    ("ticket_create_ticket", "Open a ticket for this", "Eröffne dafür ein Ticket", "Ouvre un ticket pour cela"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "english", "german", "french"), REQUESTS)
def test_the_shipped_words_know_a_plain_request_in_three_languages(
    tool: str, english: str, german: str, french: str
) -> None:
    assert [each for each in (english, german, french) if not SHIPPED_POLICY.intends(tool, each)] == []


@pytest.mark.parametrize(
    "request_",
    [
        "What does the latest email from Kim say?",
        "Which orders did Kim place this year, and what is their total?",
        "Tell me who owns the account Nordvia and whether we have a credit card on file",
        "Was steht in der letzten E-Mail von Kim?",
        "Fasse die offenen Tickets von heute zusammen",
        "Que dit le dernier courriel de Kim ? Nous avons besoin du total.",
    ],
)
def test_the_shipped_words_see_no_wish_to_act_where_somebody_only_asks(request_: str) -> None:
    acting = [tool.name for tool in TOOLS if tool.effect is Effect.SEND]
    assert [tool for tool in acting if SHIPPED_POLICY.intends(tool, request_)] == []


@pytest.mark.parametrize(
    "request_", ["Do not refund anything", "Auf keinen Fall erstatten", "Ne rembourse rien", "Never send an email"]
)
def test_a_negation_is_not_understood(request_: str) -> None:
    """Words are all that is looked at: who says no is no better protected than who says nothing of it."""
    assert any(SHIPPED_POLICY.intends(tool, request_) for tool in ("crm_issue_refund", "email_send_message"))


def test_every_tool_of_the_shipped_policy_that_changes_something_can_be_asked_for() -> None:
    assert {tool.name for tool in TOOLS if tool.effect is not Effect.READ} == set(SHIPPED_POLICY.intents)
