"""The registry of models: which of them may and can answer, asked in order, each try counted and paid."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from os import environ
from pathlib import Path
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage

from orchestrator.durable.database import Database
from orchestrator.models.asking import Account, Answered, Ask, Attempt, ModelsUnavailable, NoModelMay, OverBudget, Payer
from orchestrator.models.ledger import BudgetHeld, Keep, Ledger
from orchestrator.models.providers import Failed, answer, speaker, vectors
from orchestrator.models.register import Model, Register, Route, read_register
from orchestrator.models.weighing import Weighed, weigh

T = TypeVar("T")
_KEPT_SECONDS = 86_400
"""How long an answer is kept for the step that asked: its worker may die before the step is kept."""
_LONGEST_PAUSE = 20.0
_MARK = "\x01"


class _Kept(BaseModel):
    response: ModelResponse
    account: Account


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the models of a route are tried for, and what it can take at most."""

    route: Route
    models: list[str]
    tokens: int
    output: int
    payer: Payer
    line: dict[str, str]


class Registry:
    """The models of a register; see `Models`.

    Args:
        register: The register.
        database: Where the ledger and kept answers are.
        stand_in: Answers for models whose provider is `stand-in`.
        environment: Where the keys are.
        pause: Waits some seconds between two tries.

    Raises:
        BadRegister: If a key is missing.
    """

    def __init__(
        self,
        register: Register,
        database: Database,
        stand_in: Callable[[Ask], ModelResponse],
        environment: Mapping[str, str],
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        register.check_keys(environment)
        self.register, self.ledger = register, Ledger(database, register.budgets)
        self._stand_in, self._environment, self._pause = stand_in, environment, pause
        self._speakers: dict[str, tuple[Any, Any]] = {}

    async def ask(self, ask: Ask) -> Answered:
        """Ask the first model of the route that may and can; see `Models.ask`.

        A step that asks again, because its worker died, gets the answer that was kept for it.
        """
        route, weighed, given = self._route(ask.route), weigh(ask), ask.settings or {}
        output = min(route.max_tokens, given.get("max_tokens") or route.max_tokens)
        models = self._may(ask.route, ask.sees, lambda model: _hinders(model, weighed, output))
        wanted = _Wanted(
            route, models, weighed.most, output, ask.payer, _line(ask.route, ask.key, ask.payer, ask.prompt)
        )
        once, same = weighed.key("once", ask.key, ask.route), self._same(ask, weighed, wanted)
        key, kept = await self.ledger.kept([once, *same])
        if kept:
            found = _Kept.model_validate_json(kept.replace(_MARK, ask.mark))
            if key == once:
                return Answered(found.response, found.account)
            await self.ledger.settle({**wanted.line, "model": same[key]}, {"requests": 1, "from_cache": 1})
            account = Account(model=same[key], prompt=ask.prompt, from_cache=True)
            return Answered(replace(found.response, usage=RequestUsage()), account)
        warmth = {} if route.temperature is None else {"temperature": route.temperature}

        async def send(name: str, key: str) -> tuple[ModelResponse, RequestUsage]:
            headers = {**given.get("extra_headers", {}), "Idempotency-Key": key}
            settings = {**warmth, **given, "max_tokens": output, "extra_headers": headers}
            if (model := self.register.models[name]).provider == "stand-in":
                response = self._stand_in(ask)
            else:
                response = await answer(self._speaker(name), model, ask, settings, route.seconds)
            return response, response.usage

        def keep(name: str, response: ModelResponse, account: Account) -> Keep:
            text = _Kept(response=response, account=account).model_dump_json()
            text = text.replace(ask.mark, _MARK) if ask.mark else text
            mine = {key: (text, route.cache_seconds) for key, model in same.items() if model == name}
            return {once: (text, _KEPT_SECONDS), **mine}

        return Answered(*await self._first(wanted, send, keep))

    async def embed(
        self, texts: list[str], payer: Payer, key: str, sees: str, route: str = "embed"
    ) -> tuple[list[list[float]], Account]:
        """The vectors of texts, in their order, and what they took; chosen, tried and paid as an answer is.

        Args:
            texts: The texts.
            payer: Who pays.
            key: The same for the same texts of the same step.
            sees: How confidential the most confidential of them is.
            route: The route.
        """
        size = sum(len(text.encode()) + 8 for text in texts)
        models = self._may(route, sees, lambda model: "" if model.embedding else "gives no vectors")
        wanted = _Wanted(self._route(route), models, size, 0, payer, _line(route, key, payer))

        async def send(name: str, key: str) -> tuple[list[list[float]], RequestUsage]:
            return await vectors(self._speaker(name), texts, {"Idempotency-Key": key}, wanted.route.seconds)

        return await self._first(wanted, send)

    async def aclose(self) -> None:
        """Close the connections to providers."""
        for _, client in self._speakers.values():
            await client.close()
        self._speakers.clear()

    async def _first(
        self,
        wanted: _Wanted,
        send: Callable[[str, str], Awaitable[tuple[T, RequestUsage]]],
        keep: Callable[[str, T, Account], Keep] = lambda *_: {},
    ) -> tuple[T, Account]:
        failed: list[Attempt] = []
        took: Counter[str] = Counter()
        for name in wanted.models:
            model, line, repeated = self.register.models[name], {**wanted.line, "model": name}, 0
            most = model.most(wanted.tokens, wanted.output)
            for number in range(1, wanted.route.tries + 1):
                key = f"{line['key']}:{name}" + f":{repeated}" * bool(repeated)
                try:
                    await self.ledger.reserve(line, wanted.payer, most)
                    began = time.monotonic()
                    result, usage = await send(name, key)
                except Failed as failure:
                    counts = _counts(model, failure.usage, most if failure.begun else 0, began)
                    took.update(counts)
                    await self.ledger.settle(line, {**counts, "failed": 1})
                    failed.append(Attempt(model=name, error=failure.error))
                    repeated += failure.answered
                    pause = 0.5 * 2**number if failure.after is None else failure.after
                    if not failure.again or number == wanted.route.tries or pause > _LONGEST_PAUSE:
                        break
                    await self._pause(pause)
                except (OverBudget, BudgetHeld):
                    raise
                except BaseException:
                    # The step may never be asked again: others would wait for what is reserved until the window ends.
                    await self.ledger.give_back(line)
                    raise
                else:
                    counts = _counts(model, usage, most, began)
                    took.update(counts)
                    told = {part: took[part] for part in ("input_tokens", "cached_tokens", "output_tokens", "cost")}
                    account = Account(model=name, prompt=line["prompt"], failed=failed, **told)
                    await self.ledger.settle(line, {**counts, "requests": 1}, keep(name, result, account))
                    return result, account
        tried = "; ".join(f"`{each.model}`: {each.error}" for each in failed)
        raise ModelsUnavailable(f"no model of route `{wanted.line['route']}` answers: {tried}")

    def _route(self, name: str) -> Route:
        routes = self.register.routes
        if not (route := routes.get(name) or routes.get("default")):
            raise NoModelMay(f"there is no route `{name}` in the register of models: add `[routes.{name}]`")
        return route

    def _may(self, route: str, sees: str, hinders: Callable[[Model], str]) -> list[str]:
        why = {}
        for name in self._route(route).models:
            model = self.register.models[name]
            why[name] = hinders(model) if model.is_cleared_for(sees) else f"may not see {sees} data"
        if not (may := [name for name in why if not why[name]]):
            told = "; ".join(f"`{name}` {reason}" for name, reason in why.items())
            raise NoModelMay(f"no model of route `{route}` may or can: {told}: name one that does under its `models`")
        return may

    def _same(self, ask: Ask, weighed: Weighed, wanted: _Wanted) -> dict[str, str]:
        """The keys under which a route keeps answers for whoever asks the same, with the model of each."""
        if not wanted.route.cache_seconds:
            return {}
        whose = (ask.sees, ask.payer.customer, ask.payer.team, ask.payer.workflow, ask.prompt)
        how = wanted.route.model_dump_json(include={"temperature", "max_tokens"})
        return {
            weighed.key("same", name, self.register.models[name].model_dump_json(), how, *whose): name
            for name in wanted.models
        }

    def _speaker(self, name: str) -> Any:  # noqa: ANN401 - a chat model or one for embeddings
        if name not in self._speakers:
            model = self.register.models[name]
            self._speakers[name] = speaker(model, self._environment.get(model.key, ""))
        return self._speakers[name][0]


def _line(route: str, key: str, payer: Payer, prompt: str = "") -> dict[str, str]:
    return {**asdict(payer), "route": route, "key": key, "prompt": prompt}


def _hinders(model: Model, weighed: Weighed, output: int) -> str:
    if model.embedding:
        return "gives vectors"
    if weighed.files and not model.vision:
        return "reads no images"
    if weighed.likely + output > model.context:
        return f"takes {model.context} tokens, and this is about {weighed.likely + output}"
    return ""


def _counts(model: Model, usage: RequestUsage, unknown: int, began: float) -> dict[str, int]:
    """What a try took; `unknown` is what it cost if the provider does not say what it took."""
    tokens, cached, output = usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
    measured = bool(tokens or output) and not usage.unmeasured_requests
    cost = model.cost(tokens, cached, output) if measured else unknown
    lasted = round((time.monotonic() - began) * 1_000)
    counts = {"input_tokens": tokens, "cached_tokens": cached, "output_tokens": output}
    return {**counts, "cost": cost, "milliseconds": lasted}


def open_registry(path: Path, database: Database, stand_in: Callable[[Ask], ModelResponse]) -> Registry:
    """Read the register and be ready to ask.

    Raises:
        BadRegister: If the register is not as it must be, or a key is missing.
    """
    return Registry(read_register(path), database, stand_in, environ)
