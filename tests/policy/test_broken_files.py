"""Broken policy files, each with the exact line that a person reads."""

from pathlib import Path

import pytest

from gateway.policy.load import load_policy, policy_from_texts
from gateway.policy.problem import PolicyError
from tests.policy.making import MODEL, SHIPPED, TEAM, TOOLS, problems, team_rules

REFUND_RULE = 'p, R1, role:team, crm_issue_refund, "{}", allow, ""'
MAIL_RULE = 'p, R1, role:team, email_send_message, "{}", allow, ""'

DEAL_RULE = 'p, R1, role:team, crm_update_deal, "{}", allow, ""'
PARTNERS = "list, partners, one.example\nlist, partners, Two.example\n"

CONDITIONS: list[tuple[str, str, str]] = [
    # What cannot be read at all; columns count from the start of the line: the condition starts at column 38 or 40
    (REFUND_RULE, "args.amount =< 50", "50: this is not an expression that can be read — did you mean `==`?"),
    (REFUND_RULE, "args.amount > 5 && True", "55: this is not an expression that can be read — did you mean `and`?"),
    (REFUND_RULE, "(args.amount > 5", "38: this is not an expression that can be read"),
    (REFUND_RULE, "args.amount > 5 # small", "54: a condition must not contain a comment"),
    (REFUND_RULE, r"args.note == '\n'", "52: a condition must not contain a backslash"),
    (REFUND_RULE, "args.note in ['a' 'b']", "56: a comma is missing before this text"),
    (REFUND_RULE, "аrgs.amount > 5", "38: the name `аrgs` must be plain ASCII"),
    # What the language does not have
    (REFUND_RULE, "args.amount - 1 > 5", "38: arithmetic other than `+` is not allowed in a condition"),
    (REFUND_RULE, "-args.amount > 5", "38: arithmetic other than `+` is not allowed in a condition"),
    (REFUND_RULE, "args.amount + args.note > 5", "52: `+` adds numbers: this is text (in `crm_issue_refund`)"),
    (REFUND_RULE, "args['amount'] > 5", "38: indexing with `[…]` is not allowed in a condition"),
    (REFUND_RULE, "[x for x in args.note] == 'a'", "38: a comprehension is not allowed in a condition"),
    (REFUND_RULE, "args.note == f'{tenant}'", "51: a formatted text is not allowed in a condition"),
    (REFUND_RULE, "(lambda: True)()", "38: only the documented functions can be called, such as `domain(args.to)`"),
    (REFUND_RULE, "args.note in ('a', 'b')", "51: a tuple (write a list in `[…]`) is not allowed in a condition"),
    (REFUND_RULE, "args.amount > 1_000", "52: write the number `1_000` with plain digits, such as `50` or `49.90`"),
    (REFUND_RULE, "args.amount > 1e3", "52: write the number `1e3` with plain digits, such as `50` or `49.90`"),
    (REFUND_RULE, "args.note in []", "51: the list is empty"),
    (REFUND_RULE, "args.note in [args.note]", "51: a list may only hold plain texts and numbers"),
    (REFUND_RULE, "args.note in ['a', 1]", "57: a list holds either texts or numbers, not both"),
    # Names
    (REFUND_RULE, "arg.amount > 5", "38: unknown name `arg` — did you mean `args`?"),
    (REFUND_RULE, "args > 5", "38: `args` needs a field, such as `args.amount`"),
    (REFUND_RULE, "person == 'ana'", "38: `person` does not exist: write `person.id`"),
    (REFUND_RULE, "agent.name == 'x'", "38: `agent.name` does not exist: write `agent.id`"),
    (REFUND_RULE, "tenant.id == 'x'", "38: `tenant` is a plain text and has no fields"),
    (REFUND_RULE, "tenant == 'é' and args.amont > 5",
     "56: unknown field `args.amont` — did you mean `args.amount`? (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.amount.cents > 5", "38: `args.amount` has no fields (in `crm_issue_refund`)"),
    (MAIL_RULE, "domian(args.to) == 'x'", "40: unknown function `domian` — did you mean `domain`?"),
    (MAIL_RULE, "all_in(args.to, allowed=['a'])", "40: `all_in` takes its arguments by position only"),
    (MAIL_RULE, "len(args.to, args.cc) > 1", "40: `len` takes 1 argument, not 2 (in `email_send_message`)"),
    (REFUND_RULE, "now > 5", "38: `now` does not exist: write `now.hour`, `now.weekday` or `now.date`"),
    (REFUND_RULE, "now.minute > 5", "38: `now.minute` does not exist: write `now.hour`, `now.weekday` or `now.date`"),
    (REFUND_RULE, "args.note in lists", "51: `lists` needs the name of one list, such as `lists.partners`"),
    (REFUND_RULE, "args.note in lists.partner", "51: unknown list `lists.partner` — did you mean `lists.partners`?"),
    (REFUND_RULE, "args.note in lists.rivals", "51: unknown list `lists.rivals`: lists.csv does not have it"),
    (REFUND_RULE, "args.amount in lists.partners", "53: a number is never in a list of texts (in `crm_issue_refund`)"),
    (MAIL_RULE, "any_in(domain(args.to), lists.partners)",
     "64: the other side is never `Two.example` of `lists.partners`: it is always in lower case "
     "(in `email_send_message`)"),
    # Time and history
    (REFUND_RULE, "now.hour == 24", "50: the other side is never `24` (in `crm_issue_refund`)"),
    (REFUND_RULE, "now.weekday in [6, 7]", "57: the other side is never `7` (in `crm_issue_refund`)"),
    (REFUND_RULE, "now.date == 'monday'",
     "50: a date cannot be compared with text: a date is written `'2026-12-24'` (in `crm_issue_refund`)"),
    (REFUND_RULE, "now.date < '2026-02-30'",
     "49: `<` compares numbers or dates: this is text: a date is written `'2026-12-24'` (in `crm_issue_refund`)"),
    (REFUND_RULE, "now.date in lists.partners",
     "50: a date is never in a list of texts: a date is written `'2026-12-24'` (in `crm_issue_refund`)"),
    (DEAL_RULE, "args.close_date == '2026-12-24'",
     "56: a date cannot be compared with text: an argument is compared with a date by `<=` and `>=` "
     "(in `crm_update_deal`)"),
    (DEAL_RULE, "args.close_date in ['2026-12-24']",
     "56: a date is never in a list of texts: an argument is compared with a date by `<=` and `>=` "
     "(in `crm_update_deal`)"),
    (REFUND_RULE, "calls() > 5", "38: `calls` needs a text, such as `calls('email_*')`"),
    (REFUND_RULE, "calls(args.note) > 5", "38: `calls` needs a text, such as `calls('email_*')`"),
    (REFUND_RULE, "cals('crm_*') > 5", "38: unknown function `cals` — did you mean `calls`?"),
    (REFUND_RULE, "calls('crm_isue_*') > 5", "38: no tool matches `crm_isue_*` — did you mean `crm_issue_*`?"),
    (REFUND_RULE, "calls('crm_*')", "38: this is a number, but a condition must be true or false "
     "(in `crm_issue_refund`)"),
    (REFUND_RULE, "total('crm_issue_refund') > 5",
     "38: `total` needs two texts, such as `total('crm_issue_refund', 'amount')`"),
    (REFUND_RULE, "total('crm_issue_refnd', 'amount') > 5",
     "38: unknown tool `crm_issue_refnd` — did you mean `crm_issue_refund`?"),
    (REFUND_RULE, "total('crm_*', 'amount') > 5", "38: `total` sums an argument of one tool: `crm_*` is a pattern"),
    (REFUND_RULE, "total('crm_issue_refund', 'amont') > 5",
     "38: `crm_issue_refund` has no argument `amont` — did you mean `amount`?"),
    (REFUND_RULE, "total('crm_issue_refund', 'note') > 5",
     "38: `total` sums numbers: `note` of `crm_issue_refund` is text"),
    # Kinds
    (REFUND_RULE, "args.amount", "38: this is a number, but a condition must be true or false (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.amount > 5 and args.note",
     "58: this is text, but a condition must be true or false (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.amount == '50'", "53: a number cannot be compared with text (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.note > 'a'", "38: `>` compares numbers or dates: this is text (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.amount is 5", "53: `is` only goes with `None`: use `==` or `!=` (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.amount is None", "38: this is never None (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.currency == 'EURO'",
     "55: the other side is never `EURO` — did you mean `EUR`? (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.currency in ['EUR', 'XX']",
     "63: the other side is never `XX`: it is one of EUR, USD, GBP, CHF, SEK, PLN (in `crm_issue_refund`)"),
    (REFUND_RULE, "args.note in [1, 2]", "51: text is never in a list of numbers (in `crm_issue_refund`)"),
    (REFUND_RULE, "'a' in args.note",
     "45: `in` needs a list here, such as `['a', 'b']`: this is text (in `crm_issue_refund`)"),
    (REFUND_RULE, "lower(args.amount) == 'x'", "44: `lower` needs text here, this is a number (in `crm_issue_refund`)"),
    (REFUND_RULE, "glob(args.note, args.order_id)",
     "54: the pattern of `glob` must be written out as a text (in `crm_issue_refund`)"),
    (MAIL_RULE, "args.to == 'a@b.example'",
     "40: lists are compared with `all_in` or `any_in` (in `email_send_message`)"),
    (MAIL_RULE, "domain(args.to) == 'b.example'",
     "40: lists are compared with `all_in` or `any_in` (in `email_send_message`)"),
    (MAIL_RULE, "any_in(args.to, [1])", "40: `any_in` compares texts with numbers (in `email_send_message`)"),
    (MAIL_RULE, "any_in(domain(args.to), ['x@evil.example'])",
     "65: the other side is never `x@evil.example`: a domain has no `@` (in `email_send_message`)"),
    (MAIL_RULE, "args.mailbox == 'Support@acme.example'",
     "56: the other side is never `Support@acme.example`: it is always in lower case (in `email_send_message`)"),
    (MAIL_RULE, "ends_with(args.mailbox, '.Example')",
     "64: the other side never holds `.Example`: it is always in lower case (in `email_send_message`)"),
    # Size
    (REFUND_RULE, "args.note == '" + "x" * 500 + "'", "38: the condition has 515 characters, at most 500 are allowed"),
    (REFUND_RULE, "not " * 21 + "True", "122: the condition is nested more than 20 levels deep"),
    (REFUND_RULE, "args.amount in [" + ",".join("1" * 220) + "]", "448: the condition has more than 200 parts"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "condition", "found"), CONDITIONS)
def test_a_broken_condition_is_reported_where_it_breaks(line: str, condition: str, found: str) -> None:
    column, _, message = found.partition(": ")
    rules = line.format(condition.replace('"', '""'))
    assert problems(rules, "g, person:ana, role:team, acme", lists=PARTNERS) == [
        f"rules.csv:1:{column}: error: {message}"
    ]


LINES: list[tuple[str, str, list[str]]] = [
    ("rules.csv", 'p, R1, role:team, crm_get_contct, , allow, ""',
     ["1:19: error: unknown tool `crm_get_contct` — did you mean `crm_get_contact`?"]),
    ("rules.csv", 'p, R1, role:team, crm_gett_*, , allow, ""',
     ["1:19: error: no tool matches `crm_gett_*` — did you mean `crm_get_*`?"]),
    ("rules.csv", 'p, R1, role:team, crm_*_contact, , allow, ""',
     ["1:19: error: tool `crm_*_contact` must be a tool's name, or its beginning followed by one `*`"]),
    ("rules.csv", 'p, R1, role:team, "", , allow, ""',
     ["1:20: error: tool `` must be a tool's name, or its beginning followed by one `*`"]),
    ("rules.csv", 'p, R1, role:team, crm_*, , Allow, ""',
     ["1:28: error: unknown effect `Allow` — did you mean `allow`?"]),
    ("rules.csv", 'p, R1, role:team, crm_*, , permit, ""',
     ["1:28: error: unknown effect `permit`: it must be `allow`, `ask` or `deny`"]),
    ("rules.csv", 'p, R1, team, crm_*, , allow, ""',
     ["1:8: error: `team` is not a role: a rule speaks of a role, such as `role:auditor` — did you mean `role:team`?"]),
    ("rules.csv", 'p, R1, person:ana, crm_*, , allow, ""',
     ["1:8: error: `person:ana` is not a role: a rule speaks of a role, such as `role:auditor`"]),
    ("rules.csv", 'p, 1, role:team, crm_*, , allow, ""',
     ["1:4: error: rule id `1` must be a letter, then letters, digits, `_` or `-`"]),
    ("rules.csv", 'p, R1, role:team, crm_*, , allow, ""\n\n# again\np, R1, role:team, crm_*, , deny, ""',
     ["4:4: error: rule id `R1` is already used on line 1"]),
    ("rules.csv", 'p, R1, role:team, crm_*, "tenant == ""acme"", allow, ""',
     ["1:26: error: the double quote that starts here is not closed on this line"]),
    ("rules.csv", 'p, R1, role:team, crm_*, tenant == "acme", allow, ""',
     ['1:36: error: a double quote inside a value: put the whole value in `"…"`']),
    ("rules.csv", 'p, R1, role:team, crm_*, "True" or, allow, ""',
     ["1:33: error: only a comma may follow a closing double quote"]),
    ("rules.csv", 'p, R1, role:team, crm_*, "arg.x == ""y""", allow, ""',
     ["1:27: error: unknown name `arg` — did you mean `args`?"]),
    ("rules.csv", 'p, R1, role:team, email_*, "tenant == ""é"" and len(args.to) > 1", allow, ""',
     ["1:53: error: unknown field `args.to` (in `email_search_messages` and 4 more that `email_*` covers)"]),
    ("rules.csv", 'p, R1, role:team, crm_*, , allow, "a\x00b"', ["1:37: error: the character U+0000 is not allowed"]),
    ("rules.csv", 'p, R1, role:team, crm_*, , allow, "a\u202eb"', ["1:37: error: the character U+202E is not allowed"]),
    ("rules.csv", "# " + "x" * 2_000, ["1:2001: error: the line has 2002 characters, at most 2000 are allowed"]),
    ("roles.csv", "g, ana@acme.example, role:team, acme",
     ["1:4: error: subject `ana@acme.example` needs a prefix — "
      "did you mean `person:ana@acme.example` or `agent:ana@acme.example`?"]),
    ("roles.csv", "g, user:ana, role:team, acme",
     ["1:4: error: subject `user:ana` must be `person:…`, `agent:…` or `role:…`"]),
    ("roles.csv", "g, person:*, role:team, acme",
     ["1:4: error: subject `person:*` must be `person:…`, `agent:…` or `role:…`"]),
    ("roles.csv", "g, person:ana, team, acme",
     ["1:16: error: role `team` needs its prefix — did you mean `role:team`?"]),
    ("roles.csv", "g, person:ana, role:Team, acme",
     ["1:16: error: role `role:Team` must be `role:` and a name in lower case, such as `role:support_agent`"]),
    ("roles.csv", "g, person:ana, role:team, acm*",
     ["1:27: error: tenant `acm*` must be a name in lower case, or `*` for every tenant"]),
    ("roles.csv", "g, person:ana, role:team", ["1:1: error: expected 4 columns (g, subject, role, tenant), found 3"]),
    ("roles.csv", "g2, person:ana, role:team, acme",
     ["1:1: error: unknown line type `g2`: lines of roles.csv start with `g`"]),
    ("roles.csv", "g, role:everyone, role:team, acme",
     ["1:4: error: `role:everyone` is built in and cannot be given a role"]),
    ("roles.csv", "g, role:team, role:team, acme",
     ["1:4: error: roles include each other in a circle: `role:team` → `role:team`"]),
    ("roles.csv", "g, role:team, role:a, acme\ng, role:a, role:b, acme\ng, role:b, role:team, other",
     ["3:4: error: roles include each other in a circle: `role:b` → `role:team` → `role:a` → `role:b`"]),
    ("lists.csv", "lst, partners, a.example",
     ["1:1: error: unknown line type `lst`: lines of lists.csv start with `list`"]),
    ("lists.csv", "list, partners", ["1:1: error: expected 3 columns (list, name, value), found 2"]),
    ("lists.csv", "list, Partners, a.example",
     ["1:7: error: list `Partners` must be a name in lower case, such as `partners`"]),
    ("lists.csv", "list, partners, ", ["1:17: error: the value is empty"]),
    ("lists.csv", "list, a, x\nlist, b, x\nlist, a, 'x'", ["3:10: error: `'x'` is already in this list"]),
    ("lists.csv", "list, codes, a1\nlist, codes, 17",
     ["2:14: error: this list holds texts: write the text `'17'`"]),
    ("lists.csv", "list, days, 5\nlist, days, 6.5\nlist, days, sat",
     ["3:13: error: this list holds numbers: `sat` is a text"]),
    ("approvers.csv", "approves, role:team, *, acme",
     ["1:1: error: unknown line type `approves` — did you mean `approver`?"]),
    ("approvers.csv", "g, role:team, *, acme",
     ["1:1: error: unknown line type `g`: lines of approvers.csv start with `approver`, `operator`, `viewer` "
      "or `stopper`"]),
    ("approvers.csv", "approver, role:team, *, acme, two",
     ["1:31: error: write `quorum=2`, `after=4h` or `standing=5`, not `two`"]),
    ("approvers.csv", "approver, role:team, *, acme, quorom=2",
     ["1:31: error: unknown option `quorom` — did you mean `quorum`?"]),
    ("approvers.csv", "approver, role:team, *, acme, x=2",
     ["1:31: error: unknown option `x`: there are `quorum`, `after` and `standing`"]),
    ("approvers.csv", "approver, role:team, *, acme, quorum=0, standing=1000",
     ["1:31: error: `quorum=0` must be a whole number from 1 to 10",
      "1:41: error: `standing=1000` must be a whole number from 1 to 100"]),
    ("approvers.csv", "approver, role:team, *, acme, quorum=2, quorum=2", ["1:41: error: `quorum` is said twice"]),
    ("approvers.csv", "approver, role:team, *, acme, after=4",
     ["1:31: error: `after=4` must be a number of minutes, hours or days: `30m`, `4h` or `2d`"]),
    ("approvers.csv", "operator, agent:triage, person:ana",
     ["1:1: error: expected 4 columns (operator, agent, person, tenant), found 3"]),
    ("approvers.csv", "operator, person:ana, agent:triage, acme",
     ["1:11: error: `person:ana` must be `agent:` and a name",
      "1:23: error: `agent:triage` must be `person:` and a name"]),
    ("approvers.csv", "operator, agent:triage, person:anna, acme",
     ["1:11: error: roles.csv does not mention `agent:triage`",
      "1:25: error: roles.csv does not mention `person:anna` — did you mean `person:ana`?"]),
    ("approvers.csv", "approver, role:team, *",
     ["1:1: error: expected 4 columns (approver, role, tool, tenant), found 3"]),
    ("approvers.csv", "approver, team, *, acme",
     ["1:11: error: role `team` needs its prefix — did you mean `role:team`?"]),
    ("approvers.csv", "approver, role:teem, *, acme",
     ["1:11: error: unknown role `role:teem` — did you mean `role:team`?"]),
    ("approvers.csv", "approver, role:boss, *, acme",
     ["1:11: error: unknown role `role:boss`: roles.csv does not mention it"]),
    ("approvers.csv", "approver, role:everyone, *, acme",
     ["1:11: error: `role:everyone` cannot approve, because every agent has it too: "
      "name a role that people are given"]),
    ("approvers.csv", "approver, role:team, crm_isue_refund, Acme",
     ["1:22: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?",
      "1:39: error: tenant `Acme` must be a name in lower case, or `*` for every tenant"]),
    ("approvers.csv", "viewer, role:team, journal",
     ["1:1: error: expected 4 columns (viewer, role, journal or policy, tenant), found 3"]),
    ("approvers.csv", "viewer, role:team, jurnal, acme",
     ["1:20: error: unknown view `jurnal` — did you mean `journal`?"]),
    ("approvers.csv", "viewer, role:team, *, acme",
     ["1:20: error: unknown view `*`: write `journal` or `policy`"]),
    ("approvers.csv", "stopper, role:team", ["1:1: error: expected 3 columns (stopper, role, tenant), found 2"]),
    ("approvers.csv", "stopper, role:teem, Acme",
     ["1:10: error: unknown role `role:teem` — did you mean `role:team`?",
      "1:21: error: tenant `Acme` must be a name in lower case, or `*` for every tenant"]),
    ("approvers.csv", "viewer, role:everyone, journal, acme",
     ["1:9: error: `role:everyone` cannot view, because every agent has it too: "
      "name a role that people are given"]),
    ("retention.csv", "keeps, *, acme, 30d",
     ["1:1: error: unknown line type `keeps`: lines of retention.csv start with `keep`"]),
    ("retention.csv", "keep, *, 30d", ["1:1: error: expected 4 columns (keep, tool, tenant, days), found 3"]),
    ("retention.csv", "keep, crm_gett_*, Acme, 400",
     ["1:7: error: no tool matches `crm_gett_*` — did you mean `crm_get_*`?",
      "1:19: error: tenant `Acme` must be a name in lower case, or `*` for every tenant",
      "1:25: error: `400` must be a number of days from 1 to 36500, such as `400d`"]),
    ("retention.csv", "keep, *, acme, 0d\nkeep, *, acme, 36501d\nkeep, *, acme, 6months",
     ["1:16: error: `0d` must be a number of days from 1 to 36500, such as `400d`",
      "2:16: error: `36501d` must be a number of days from 1 to 36500, such as `400d`",
      "3:16: error: `6months` must be a number of days from 1 to 36500, such as `400d`"]),
    ("retention.csv", "keep, crm_*, acme, 30d\nkeep, *, acme, 60d\nkeep, crm_*, acme, 40d",
     ["3:7: error: `crm_*` in `acme` has a line already"]),
    ("model.conf", MODEL + "p2 = sub, act\n",
     ["20:1: error: `p2` in `[matchers]` is not honoured by this version of Remit: remove it"]),
    ("model.conf", MODEL + "[matcher]\n", ["20:1: error: unknown section `matcher` — did you mean `matchers`?"]),
    ("model.conf", MODEL + "m = True\n", ["20:1: error: `m` is defined twice"]),
    ("model.conf", MODEL + "whatever\n", ["20:1: error: expected `[section]` or `key = value`"]),
    ("model.conf", "r = sub\n" + MODEL, ["1:1: error: `r` stands before any section"]),
    ("model.conf", MODEL.replace("g = _, _, _", ""), ["20:1: error: `g` is missing from section `[role_definition]`"]),
    ("model.conf", MODEL.replace("g = _, _, _", "g = _, _"),
     ["13:1: error: this version of Remit only honours `g = _, _, _`"]),
    ("model.conf", MODEL.replace("covers(p.tool, r.tool)", "regexMatch(r.tool, p.tool)"),
     ["19:1: error: this version of Remit only honours "
      '`m = (p.sub == "role:everyone" || g(r.sub, p.sub, r.tenant)) && covers(p.tool, r.tool) && eval(p.condition)`']),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "found"), LINES)
def test_a_broken_line_is_reported_where_it_breaks(file: str, text: str, found: list[str]) -> None:
    texts = {"rules.csv": "", "roles.csv": "", "lists.csv": "", "approvers.csv": "", "model.conf": MODEL, file: text}
    if file in ("rules.csv", "approvers.csv"):
        texts["roles.csv"] = "g, person:ana, role:team, acme"
        texts["rules.csv"] += "\np, Z, role:team, crm_get_contact, , allow, "
    if file == "roles.csv":
        speaking = ("team", "a", "b")
        texts["roles.csv"] += "\n" + "".join(f"g, role:{role}, role:everyone, *\n" for role in speaking)
        texts["rules.csv"] = "".join(f"p, Z{role}, role:{role}, crm_get_contact, , allow, \n" for role in speaking)
    with pytest.raises(PolicyError) as caught:
        policy_from_texts(texts, TOOLS)
    assert list(map(str, caught.value.problems)) == [f"{file}:{each}" for each in found]


def test_a_model_may_be_spaced_and_commented_as_one_likes() -> None:
    assert problems("", "", MODEL.replace(" && ", "&&").replace(", ", " ,  ").replace("\n\n", "\n  # note\n\n")) == []


def test_quotes_windows_line_ends_tabs_and_comments_are_understood() -> None:
    rules = '  # comment\r\np ,\t"R1", role:team ,crm_issue_refund, "tenant == ""acme""" , allow ,"a, ""b"""\r\n'
    assert problems(rules, "g, person:ana, role:team, acme\r\n") == []


def test_a_role_without_holders_is_declared_by_including_everyone() -> None:
    rules = team_rules("crm_issue_refund |  | allow")
    assert problems(rules, "g, agent:bot, role:bot, acme\n") != []
    assert problems(rules, "g, agent:bot, role:bot, acme\ng, role:team, role:everyone, *\n") == []


def folder(tmp_path: Path, **changed: bytes | None) -> Path:
    for name in ("model.conf", "roles.csv", "lists.csv", "rules.csv"):
        data = changed.get(name.partition(".")[0], (SHIPPED / name).read_bytes())
        if data is not None:
            (tmp_path / name).write_bytes(data)
    return tmp_path


def found_in(directory: Path) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(directory, TOOLS)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["model", "roles", "rules"])
def test_a_missing_file_is_one_problem_only(tmp_path: Path, name: str) -> None:
    file = {"model": "model.conf", "roles": "roles.csv", "rules": "rules.csv"}[name]
    assert found_in(folder(tmp_path, **{name: None})) == [
        f"{file}:1:1: error: the file cannot be read: no such file or directory"
    ]


def test_a_folder_in_the_place_of_a_file_and_a_missing_folder_are_problems(tmp_path: Path) -> None:
    (folder(tmp_path, rules=None) / "rules.csv").mkdir()
    assert found_in(tmp_path) == ["rules.csv:1:1: error: the file cannot be read: is a directory"]
    assert len(found_in(tmp_path / "nowhere")) == 3


def test_bytes_that_are_not_utf8_are_reported_where_they_stand(tmp_path: Path) -> None:
    spoilt = (SHIPPED / "roles.csv").read_bytes() + "g, person:zoë".encode() + b"\xff, role:sales, larkspur\n"
    lines = spoilt.count(b"\n")
    assert found_in(folder(tmp_path, roles=spoilt)) == [
        f"roles.csv:{lines}:14: error: byte 0xFF is not UTF-8: save the file as UTF-8"
    ]


def test_a_byte_order_mark_is_reported(tmp_path: Path) -> None:
    spoilt = b"\xef\xbb\xbf" + (SHIPPED / "rules.csv").read_bytes()
    assert found_in(folder(tmp_path, rules=spoilt)) == [
        "rules.csv:1:1: error: the file starts with a byte order mark: save it as UTF-8 without one"
    ]


def test_utf16_is_reported(tmp_path: Path) -> None:
    assert found_in(folder(tmp_path, model=MODEL.encode("utf-16"))) == [
        "model.conf:1:1: error: byte 0xFF is not UTF-8: save the file as UTF-8"
    ]


def test_problems_come_in_the_order_of_the_files_and_lines() -> None:
    found = problems("q\np, R1, role:x, crm_*, , no, ", "g, ana, role:y, acme", "[x]\n" + MODEL)
    assert [line.split(":")[:2] for line in found] == [
        ["model.conf", "1"],
        ["roles.csv", "1"],
        ["roles.csv", "1"],
        ["rules.csv", "1"],
        ["rules.csv", "2"],
        ["rules.csv", "2"],
    ]
    assert problems(team_rules("crm_issue_refund |  | allow"), TEAM) == []
