"""Turning phrase banks into text: choices, facts, and how each language writes dates and money."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

TEXT = files("connectors.sample") / "text"
Phrases = str | Sequence[str] | Sequence[Sequence[str]]
Facts = Mapping[str, object]

_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SIGN = {"EUR": "€", "GBP": "£", "USD": "$", "SEK": "kr", "PLN": "zł", "CHF": "CHF"}
_SPACED = {"fr", "sv", "pl"}
_TWO_STOPS = re.compile(r"(?<!\.)\.\.(?!\.)")


@cache
def bank(name: str) -> dict[str, Any]:
    """One TOML file of the `text` folder."""
    return tomllib.loads((TEXT / f"{name}.toml").read_text("utf-8"))


class Writer:
    """Writes from phrase banks; a phrase comes back only when all the others of its list have been used.

    Args:
        rng: The only source of chance.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._decks: dict[int, tuple[Sequence[object], list[Any]]] = {}

    def pick(self, options: Sequence[Any]) -> Any:  # noqa: ANN401 - an item of whatever the list holds
        """One item of a list that lives as long as the writer does."""
        _, deck = self._decks.setdefault(id(options), (options, []))
        if not deck:
            deck.extend(options)
            self.rng.shuffle(deck)
        return deck.pop()

    def write(self, phrases: Phrases, facts: Facts) -> str:
        """One text: a phrase of a list, or one phrase of each list in a row."""
        if isinstance(phrases, str):
            return self.fill(phrases, facts)
        parts = [phrases] if isinstance(phrases[0], str) else phrases
        chosen = [text for part in parts if (text := self.pick(part))]
        if len(chosen) > 2 and len(chosen[-1]) > 25 and self.rng.random() < 0.4:
            chosen[-2:] = [f"{chosen[-2]}\n\n{chosen[-1]}"]
        return self.fill(" ".join(chosen), facts)

    def fill(self, text: str, facts: Facts) -> str:
        """Make the choices in a text and put the facts in."""
        while found := _CHOICE.search(text):
            text = text[: found.start()] + self.rng.choice(found[1].split("|")) + text[found.end() :]
        return _TWO_STOPS.sub(".", text.format_map(facts))


def opened(text: str, language: str) -> str:
    """A text as it starts after a greeting, which some languages end with a comma and go on in lower case."""
    if language == "de":
        return text
    lower = language in {"it", "pl"} and text[1:2].islower()
    return (text[:1].lower() if lower else text[:1].upper()) + text[1:]


def money(amount: Decimal, currency: str, language: str) -> str:
    """An amount as people write it, such as `€1,249.00` or `1 249,00 zł`."""
    text = f"{amount:,.2f}"
    if language in _SPACED:
        text = text.replace(",", " ").replace(".", ",")
    elif language != "en":
        text = text.translate(str.maketrans(",.", ".,"))
    sign = _SIGN[currency]
    if language == "en" and len(sign) > 1:
        return f"{text} {currency}"
    return str(bank(language)["money"]).format(amount=text, sign=sign)


def day(at: date, language: str, year: int = 0) -> str:
    """A date as people write it, without the year if it is `year`."""
    words = bank(language)
    month = words["months"][at.month - 1] if "months" in words else at.month
    text: str = words["date"].format(d=at.day, m=at.month, month=month)
    return text if at.year == year else text + words["year"].format(y=at.year)


def flowed(text: str, width: int = 76) -> str:
    """Text with its long lines broken at spaces."""
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    lines = [""]
    for word in line.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\n".join(lines)
