"""Reads a customer's text by rules alone: keyword scores for the intent, in eight languages."""

import base64
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from orchestrator.workflows.triage.report import Action, Intent, Risk

_QUOTED_REPLY = re.compile(r"^\s*>.*$|^-{2,}\s*(original|forwarded) .*", re.MULTILINE | re.IGNORECASE)
# Letters that Unicode does not take apart into a plain letter and an accent.
_FOLD = str.maketrans({"ł": "l", "ø": "o", "ß": "ss", "æ": "ae", "œ": "oe", "’": "'"})
# Letters of other alphabets that look like Latin ones, and what cannot be seen at all.
_LOOKALIKES = str.maketrans("авеёіјкмнорсѕтухαεικνορτυ", "abeeijkmhopcstyxaeikvoptu")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SPACED_OUT = re.compile(r"\b(?:\w ){4,}\w\b")
_BASE64 = re.compile(r"\b[A-Za-z0-9+/]{40,}={0,2}")
_ORDER_NUMBER = re.compile(r"\b[A-Z]{2,4}-\d{4,8}\b")
SUBJECT_WEIGHT = 3
SURE_ENOUGH = 0.4


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rules make of a text. `signal` is the sentence that spoke for the intent, word for word."""

    intent: Intent
    confidence: float
    language: str
    risk: Risk
    action: Action
    priority: Literal["normal", "high", "urgent"]
    hostile: bool
    machine: bool
    signal: str
    order_number: str
    query: str


def fold(text: str) -> str:
    """Lower-case a text, take accents off and make letters in disguise (such as full-width ones) plain."""
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text))
    lower = seen.casefold().translate(_FOLD).translate(_LOOKALIKES)
    return "".join(letter for letter in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(letter))


def read_text(subject: str, body: str) -> Reading:
    """Judge a message by its subject and body; quoted earlier messages do not count, except as a danger."""
    own = _QUOTED_REPLY.sub("", body)
    scores = {
        intent: SUBJECT_WEIGHT * _hits(words, subject) + _hits(words, own) for intent, words in _patterns().items()
    }
    first, second = sorted(scores.values(), reverse=True)[:2]
    intent = next(intent for intent, score in scores.items() if score == first) if first else "other"
    rule, confidence = _rules()["intent"][intent], round(first / (first + second + 1), 2)
    hostile = _found("hostile", _laid_open(f"{subject}\n{body}"))
    grave = hostile or _found("legal", f"{subject}\n{own}")
    person = grave or _found("vulnerable", f"{subject}\n{own}")
    machine = not person and _found("machine", f"{subject}\n{own}")
    number = _ORDER_NUMBER.search(f"{subject} {own}")
    return Reading(
        intent=intent,
        confidence=confidence,
        language=_language(f"{subject}\n{own}"),
        risk="high" if grave else rule["risk"],
        action=_action(rule["action"] if confidence >= SURE_ENOUGH else "investigate", person, machine),
        priority="urgent" if grave else "high" if _found("urgent", f"{subject}\n{own}") else "normal",
        hostile=hostile,
        machine=machine,
        signal=_signal(subject, body if hostile else own, _whole("hostile") if hostile else _patterns().get(intent)),
        order_number=number.group() if number else "",
        query=rule["query"],
    )


def _action(usual: Action, person: bool, machine: bool) -> Action:
    return "escalate" if person else "ignore" if machine else usual


def _laid_open(text: str) -> str:
    """A text with what is hidden in it beside it: words with a space after each letter, and Base64."""
    words = (each.group().replace(" ", "") for each in _SPACED_OUT.finditer(re.sub(r" {2,}", "\t", text)))
    hidden = (_decoded(each.group()) for each in _BASE64.finditer(text))
    return "\n".join([text, " ".join(words), *hidden])


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""


def reply_in(language: str, name: str, subject: str) -> str:
    """Write the stand-in's only letter: friendly, in the customer's language, promising nothing but an answer."""
    template: str = _rules()["language"][language]["reply"]
    return template.format(name=name, subject=subject)


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "stand_in.toml").read_text("utf-8"))


@cache
def _patterns() -> dict[Intent, re.Pattern[str]]:
    rules: dict[Intent, dict[str, str]] = _rules()["intent"]
    return {intent: re.compile(rf"\b(?:{rule['words']})") for intent, rule in rules.items() if rule["words"]}


@cache
def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_rules()[name]})")


def _found(name: str, text: str) -> bool:
    return _whole(name).search(" ".join(fold(text).split())) is not None


def _hits(pattern: re.Pattern[str], text: str) -> int:
    """Count different matching words: saying one thing often is not saying more."""
    return len({match.group() for match in pattern.finditer(fold(text))})


def _language(text: str) -> str:
    words = re.findall(r"\w+", fold(text))
    languages: dict[str, Any] = _rules()["language"]
    counts = {name: sum(words.count(each) for each in rule["words"].split("|")) for name, rule in languages.items()}
    return max(counts, key=lambda name: counts[name])


def _signal(subject: str, body: str, pattern: re.Pattern[str] | None) -> str:
    """Find the sentence that the judgement rests on, or else the subject."""
    sentences = [subject, *re.split(r"(?<=[.!?])\s+|\n+", body)]
    hit = next((each for each in sentences if pattern and pattern.search(" ".join(fold(each).split()))), subject)
    return " ".join(hit.split())[:300]
