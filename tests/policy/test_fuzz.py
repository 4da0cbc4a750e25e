"""Whatever is written into policy files: no crash, no hang, nothing evaluated that the language does not have.

A normal run tries a few hundred texts. `REMIT_FUZZ=200000 pytest tests/policy/test_fuzz.py` tries so many in all.
"""

import os
import sys
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.policy.language.history import History
from gateway.policy.lint.lint import lint
from gateway.policy.load import FILES, policy_from_texts
from gateway.policy.problem import PolicyError, Problem
from tests.policy.generated import ATOMS, CALLED, LISTS, condition
from tests.policy.making import ANA, BOT, MODEL, NOW, REFUND, TOOLS

TOTAL = int(os.environ.get("REMIT_FUZZ", "800"))
pytestmark = pytest.mark.timeout(0 if "REMIT_FUZZ" in os.environ else 120)


def examples(share: float) -> settings:
    """So much of all texts that are tried."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=max(int(TOTAL * share), 50), deadline=None, suppress_health_check=slow)


PIECES = r"""
    args args.amount args.note args.currency person.id tenant True None and or not in is if else lambda for == <= != :=
    ** 'x' f'' 50 49.9 1e999 0x1f 1_0 lower domain len glob all_in any_in __class__ ａrgs ж ( ) [ ] { } , . # ' \ -
    + = < > ! & | : ; @ " now.hour now.weekday now.date '2026-03-02' '2026-02-30' lists lists.ours lists.x calls total
    run.saw_untrusted run.denials run.confidentiality run origin origin(args.order_id) confidentiality(args.note)
    audience(args.to) first_time 'request' 'public'
    calls('crm_*') total('crm_issue_refund','amount') __import__ eval open exec () await yield import * 1==1
"""
WORDS = st.sampled_from([*PIECES.split(), " ", "\t", "\n", "\x00", "\ud800", "\u202e", "", "9" * 60])


def nearly(seed: int) -> str:
    """A well-formed condition with a few characters left out, doubled, exchanged or put in."""
    random = Random(seed)
    text = condition(random, random.choice(CALLED)) if random.random() < 0.5 else random.choice(ATOMS[CALLED[0]])
    for _ in range(random.randrange(4)):
        at, put_in = random.randrange(len(text) + 1), random.choice("()[]'\\.,=<> _#\"9né")
        text = random.choice((text[:at] + put_in + text[at:], text[:at] + text[at + 1 :], text[:at] + text[: at + 9]))
    return text


CONDITIONS = st.one_of(
    st.lists(WORDS, max_size=14).map("".join),
    st.lists(WORDS, max_size=14).map(" ".join),
    st.integers(0, 10**9).map(nearly),
    st.text(max_size=60),
    st.tuples(st.sampled_from(["(", "not ", "-", "[", "lower(", "args.", "1+", "{"]), st.integers(1, 600)).map(
        lambda repeated: repeated[0] * repeated[1]
    ),
)
MARKS = ['"', ",", "p", "g", "list", "approver", " ", "#", '""', "role:team", "allow", "\r", "\t", "*", "a", "1", "'"]
LINES = st.one_of(st.lists(st.sampled_from(MARKS)).map("".join), st.lists(st.sampled_from(MARKS)).map(", ".join))

HISTORY = History({"crm_issue_refund": [REFUND]})
UNSAFE = {"exec", "open", "os.system", "subprocess.Popen", "socket.connect", "socket.bind", "ctypes.dlopen"}
events: list[str] | None = None


def note(event: str, _: object) -> None:
    if events is not None and event in UNSAFE:
        events.append(event)


sys.addaudithook(note)


def tried(
    rules: str,
    roles: str = "",
    model: str = MODEL,
    lists: str = LISTS,
    approvers: str = "",
    retention: str = "",
    obligations: str = "",
    intents: str = "",
    labels: str = "",
    limits: str = "",
    identity: str = "",
) -> None:
    """Load, check and decide; the files are refused with places, or every decision has a reason."""
    global events  # noqa: PLW0603 - an audit hook cannot be taken away again, only told to be quiet
    first = (model, roles, lists, rules, approvers, retention, obligations, intents, labels)
    texts = dict(zip(FILES, (*first, limits, identity), strict=True))
    events = []
    problems: tuple[Problem, ...] = ()
    try:
        policy = policy_from_texts(texts, TOOLS)
        lint(policy, texts, TOOLS)
        reasons = [policy.decide(who, "crm_issue_refund", REFUND, NOW, HISTORY).reason for who in (ANA, BOT)]
    except PolicyError as error:
        problems, reasons = error.problems, []
    finally:
        noticed, events = events, None
    assert noticed == []
    assert all(reasons) if reasons else problems
    assert all(each.line >= 1 and each.column >= 1 and "\n" not in each.message for each in problems)


@examples(0.5)
@given(CONDITIONS)
def test_no_condition_does_harm(condition: str) -> None:
    quoted = condition.replace('"', '""')
    tried(f'p, R1, role:everyone, crm_issue_refund, "{quoted}", allow, ""')


@examples(0.15)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=100))
def test_no_text_of_any_file_does_harm(one: str, two: str, three: str) -> None:
    more = {"retention": three, "obligations": one, "intents": two, "labels": three, "limits": one, "identity": two}
    tried(one, two, model=three, lists=one, approvers=two, **more)


@examples(0.35)
@given(LINES, LINES, LINES)
def test_no_line_does_harm(one: str, two: str, three: str) -> None:
    more = {"obligations": three, "intents": one, "labels": two, "limits": three, "identity": one}
    tried(one, two, lists=three, approvers=one, retention=two, **more)


def test_the_hook_notices_what_must_not_happen() -> None:
    global events  # noqa: PLW0603 - as above
    events = []
    exec("1")  # noqa: S102 - that is the point
    noticed, events = events, None
    assert noticed == ["exec"]
