"""The register of models, `models.toml`: what each model is, costs and may see, which of them a step asks, and budgets.

It is read whole or refused: a model without a price, or a word that is not known, is an error and never a default.
"""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError, model_validator

from orchestrator.invalid import in_words
from orchestrator.models.asking import LEVELS, Payer

NANO = 1_000_000_000
"""Billionths of a dollar in a dollar."""

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class BadRegister(ValueError):
    """The register of models is not as it must be; says where, what, and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prices(_Part):
    """US dollars per million tokens. Without a price of their own, cached tokens cost as much as others."""

    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None


class Model(_Part):
    """A model.

    Args:
        provider: How it is spoken to; `stand-in` is a workflow's rules.
        model: The provider's name for it.
        endpoint: Where it is.
        key: The environment variable with the key; empty for servers that want none.
        prices: Its prices.
        free: Says instead of prices that it costs nothing.
        context: Tokens that it takes, with those that it writes.
        region: Where it processes what it is sent.
        retention: How long the provider keeps that.
        may_see: How confidential a thing it may be shown at most.
        quality: Its tier.
        vision: Whether it reads images and documents.
        embedding: Whether it gives vectors instead of text.
        stream: Whether its answers come in pieces: for long ones, behind what cuts silent connections.
    """

    provider: Literal["openai", "anthropic", "stand-in"]
    model: str = ""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@]+$|^$")] = ""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$|^$")] = ""
    prices: Prices | None = None
    free: bool = False
    context: PositiveInt
    region: Word
    retention: Word
    may_see: Literal["public", "internal", "confidential", "restricted"]
    quality: Literal["small", "capable", "best"]
    vision: bool = False
    embedding: bool = False
    stream: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.free is (self.prices is not None):
            raise ValueError("give either `prices` or `free = true`")
        if self.provider != "stand-in" and not (self.model and self.endpoint):
            raise ValueError("give `model`, the provider's name for it, and `endpoint`")
        if self.embedding and self.provider != "openai":
            raise ValueError('`embedding` needs `provider = "openai"`')
        return self

    def is_cleared_for(self, sees: str) -> bool:
        """Whether it may be shown something so confidential."""
        return sees in LEVELS[: LEVELS.index(self.may_see) + 1]

    def cost(self, tokens: int, cached: int, output: int) -> int:
        """What tokens cost, in billionths of a dollar, rounded up once.

        Args:
            tokens: Tokens in.
            cached: Those of them that the provider had in its cache.
            output: Tokens out.
        """
        if not (prices := self.prices):
            return 0
        read = prices.input if prices.cached_input is None else prices.cached_input
        # Some servers do not count cached tokens among the others: no answer may bring money back.
        exact = max(tokens - cached, 0) * prices.input + cached * read + output * prices.output
        return int((exact * 1_000).to_integral_value(ROUND_CEILING))

    def most(self, tokens: int, output: int) -> int:
        """The most that so many tokens can cost, in billionths of a dollar."""
        return max(self.cost(tokens, 0, output), self.cost(tokens, tokens, output))


class Route(_Part):
    """The models that a kind of step asks, in order, and how.

    Args:
        models: The first that may and can is asked; the next when it fails.
        temperature: As the provider takes it.
        max_tokens: Tokens of an answer at most.
        seconds: How long an answer may take.
        tries: How often each model is asked.
        cache_seconds: How long the same question of the same customer gets the same answer.
    """

    models: Annotated[list[str], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: PositiveInt = 4_000
    seconds: Annotated[float, Field(gt=0, le=600)] = 60
    tries: Annotated[int, Field(ge=1, le=5)] = 2
    cache_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = 0


class Budget(_Part):
    """US dollars in a window of the calendar, in UTC; weeks begin on Monday."""

    usd: Dollars
    per: Literal["day", "week", "month", "ever"]

    def window(self, now: datetime) -> tuple[datetime, datetime | None]:
        """The window around a moment: its beginning, and its end if it has one."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.per == "ever":
            return datetime.fromtimestamp(0, UTC), None
        if self.per == "month":
            return day.replace(day=1), (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        start, days = (day, 1) if self.per == "day" else (day - timedelta(days=day.weekday()), 7)
        return start, start + timedelta(days=days)


class Kind(_Part):
    """The budget of each of a kind, and those of some by name."""

    every: Budget | None = None
    named: dict[str, Budget] = {}


class Budgets(_Part):
    """For each workflow, team, customer and task, which is one run; tasks are named by their workflow."""

    workflow: Kind = Kind()
    team: Kind = Kind()
    customer: Kind = Kind()
    task: Kind = Kind()

    def of(self, payer: Payer) -> list[tuple[str, str, Budget]]:
        """The budgets that hold for a payer: of which kind, whose, and how much."""
        whose = (("workflow", payer.workflow), ("team", payer.team), ("customer", payer.customer), ("task", payer.run))
        found = []
        for kind, name in whose:
            budgets: Kind = getattr(self, kind)
            budget = budgets.named.get(payer.workflow if kind == "task" else name, budgets.every)
            if name and budget:
                found.append((kind, name, budget))
        return found


class Register(_Part):
    """All of it. The route `default` serves steps whose route is not there."""

    models: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,79}$")], Model]
    routes: dict[str, Route]
    budgets: Budgets = Budgets()

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, route in self.routes.items():
            if missing := [model for model in route.models if model not in self.models]:
                raise ValueError(f"route `{name}` names `{missing[0]}`, which is not under `[models]`: add it there")
        return self

    def check_keys(self, environment: Mapping[str, str]) -> None:
        """Make sure that the keys of all models that a route names are there.

        Raises:
            BadRegister: If one is not.
        """
        for name in sorted({name for route in self.routes.values() for name in route.models}):
            if (key := self.models[name].key) and not environment.get(key):
                raise BadRegister(f"model `{name}` needs `{key}` in the environment: set it, or take it off its routes")


def read_register(path: Path) -> Register:
    """Read `models.toml`.

    Raises:
        BadRegister: If it cannot be read or is not as it must be.
    """
    try:
        return Register.model_validate(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal))
    except (OSError, UnicodeDecodeError) as error:
        raise BadRegister(f"`{path}` cannot be read: {error}: give the path of the register of models") from None
    except tomllib.TOMLDecodeError as error:
        raise BadRegister(f"`{path}` is no TOML: {error}: correct it there") from None
    except ValidationError as error:
        raise BadRegister(f"`{path}`: {in_words(error)}: correct it there") from None
