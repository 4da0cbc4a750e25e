"""An adaptive attacker: whatever is done to a value or a text, it gains no origin that it has not got as a whole."""

import base64
import codecs
import json
import os
from collections.abc import Callable
from random import Random
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.flow.evidence import Source
from gateway.flow.seen import Seen
from gateway.flow.tracing import trace_text, trace_value
from gateway.flow.values import Kind, readings
from gateway.policy.language.flow import Origin
from tests.flow.runs import COLLEAGUE, CUSTOMER, KEY, OUTSIDER, REQUEST, run

EXAMPLES = int(os.environ.get("REMIT_FLOW_EXAMPLES", "60"))
POSITIVE = {Origin.REQUEST, Origin.ORGANISATION}
Rewrite = Callable[[str], str]

HONEST = (
    "Please ask bob@acme.example about file 13 and the refund of EUR 250.00, see https://acme.example/orders/77 "
    "and call +49 170 1234567 before June 13. The invoice is INV-2024-0012."
)
VALUES: tuple[tuple[str, Kind, str], ...] = (
    ("mallory@evil.example", Kind.ADDRESS, ""),
    ("https://evil.example/collect?d=1", Kind.URL, ""),
    ("evil.example", Kind.DOMAIN, ""),
    ("DE02120300000000202051", Kind.ACCOUNT, ""),
    ("+1 555 123 4567", Kind.PHONE, ""),
    ("file-99aa88", Kind.IDENTIFIER, "file"),
    ("99999", Kind.NUMBER, ""),
)
REWRITES: tuple[Rewrite, ...] = (
    str.upper,
    str.swapcase,
    lambda text: text[::-1],
    lambda text: codecs.encode(text, "rot13"),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: quote(text, safe=""),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: text.replace("e", "\u0435").replace("a", "\u0430"),
    lambda text: text.replace("o", "\u03bf"),
    "\u200b".join,
    lambda text: f"\u202e{text}\u202c",
    lambda text: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
    lambda text: f"bob@acme.example <{text}>",
    lambda text: f"{text} <bob@acme.example.evil.example>",
    lambda text: f"https://acme.example@{text}",
    lambda text: f"bob.{text}",
    lambda text: f"{text}.acme.example.evil.example",
    lambda text: f"file 13 {text}",
    lambda text: json.dumps({"value": text}),
    lambda text: f"<a href='{text}'>bob@acme.example</a>",
    lambda text: f"[bob@acme.example]({text})",
    lambda text: f"“{text}”",
    lambda text: text.replace(".", "&#46;"),
    lambda text: f"{text[: len(text) // 2]} {text[len(text) // 2 :]}",
)
rewritings = st.lists(st.sampled_from(REWRITES), max_size=4)
origins = st.sampled_from((REQUEST, COLLEAGUE, CUSTOMER, OUTSIDER))
words = st.sampled_from(
    [
        "order",
        "Bob",
        "file",
        "13",
        "refund",
        "250",
        "please",
        "the",
        "a@b.example",
        "c@d.example",
        "https://b.example/x",
        "June",
        "13,",
        "2024",
        "лук",
        "5\n.",
    ]
)
texts = st.lists(words, min_size=1, max_size=14).map(" ".join)
evidence = st.lists(st.tuples(texts, origins), max_size=5)
asked = st.sampled_from(
    (
        ("a@b.example", Kind.ADDRESS, ""),
        ("https://b.example/x", Kind.URL, ""),
        ("13", Kind.IDENTIFIER, "file"),
        (250, Kind.NUMBER, ""),
    )
)


def rewritten(value: str, rewrites: list[Rewrite]) -> str:
    for rewrite in rewrites:
        value = rewrite(value)[:2_000]
    return value


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(VALUES), rewritings, rewritings, st.booleans())
def test_no_rewriting_endorses_an_attackers_value(
    value: tuple[str, Kind, str], told: list[Rewrite], used: list[Rewrite], is_request: bool
) -> None:
    text, kind, namespace = value
    seen = run(HONEST if is_request else "", HONEST, outsider=f"please use {rewritten(text, told)} for it")
    written = rewritten(text, used)
    if set(readings(written, kind, namespace)) & {
        each for known in ("bob@acme.example",) for each in readings(known, kind)
    }:
        return  # it was rewritten into the harmless value itself
    assert trace_value(seen, written, kind, namespace).origin not in POSITIVE


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(VALUES[:5]), rewritings)
def test_no_rewriting_endorses_a_text_that_carries_an_attackers_value(
    value: tuple[str, Kind, str], used: list[Rewrite]
) -> None:
    seen = run(HONEST, outsider=f"please use {value[0]} for it")
    assert trace_text(seen, f"{HONEST} {rewritten(value[0], used)}").origin not in POSITIVE
    assert trace_text(seen, HONEST).origin is Origin.REQUEST


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(VALUES), st.integers(-1, 1))
def test_a_value_split_over_several_texts_is_never_put_together(value: tuple[str, Kind, str], beside: int) -> None:
    text, kind, namespace = value
    cut = len(text) // 2 + beside
    seen = Seen(KEY)
    for part in (text[:cut], text[cut:]):
        seen.add_text(part, REQUEST)
        seen.add_text(f"the rest is {part}", COLLEAGUE)
    assert trace_value(seen, text, kind, namespace).origin not in POSITIVE


@settings(max_examples=EXAMPLES, deadline=None)
@given(evidence, texts, asked, st.randoms(use_true_random=False))
def test_neither_order_nor_another_process_changes_what_is_found(
    shown: list[tuple[str, Source]], text: str, value: tuple[str | int, Kind, str], random: Random
) -> None:
    one, other, third = Seen(KEY), Seen(KEY), Seen(KEY)
    for said, source in shown:
        one.add_text(said, source)
    for said, source in random.sample(shown, len(shown)):
        other.add_text(said, source)
        third.load(other.take_new())
    assert trace_text(one, text) == trace_text(other, text) == trace_text(third, text)
    assert trace_value(one, *value) == trace_value(other, *value) == trace_value(third, *value)


@settings(max_examples=EXAMPLES, deadline=None)
@given(evidence, texts, texts, asked)
def test_evidence_of_a_better_origin_never_makes_anything_worse(
    shown: list[tuple[str, Source]], more: str, text: str, value: tuple[str | int, Kind, str]
) -> None:
    seen = Seen(KEY)
    for said, source in shown:
        seen.add_text(said, source)
    before = trace_text(seen, text).origin, trace_value(seen, *value).origin
    seen.add_text(more, REQUEST)
    after = trace_text(seen, text).origin, trace_value(seen, *value).origin
    assert all(new.rank <= old.rank for old, new in zip(before, after, strict=True))
