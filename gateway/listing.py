"""What `tools/list` and `remit tools` show a principal: the tools it may call, narrowed by policy.

What does not depend on the principal is worked out once per policy; what a principal sees is remembered for as long as
the policy stays in force.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import anyio.to_thread
import mcp.types as wire

from connectors.contract import Effect, Idempotency, Tool
from gateway.answer import answer_schema
from gateway.policy.judge import Policy
from gateway.policy.narrowing.express import form_of
from gateway.policy.narrowing.narrow import Narrower, Narrowing
from gateway.principal import Principal

_MOST_REMEMBERED = 50_000


class Listing:
    """What each principal sees under one policy.

    Args:
        policy: The policy.
        tools: All tools, in the order in which they are shown.
        plain: Each of them by name, as it is without policy.
    """

    def __init__(self, policy: Policy, tools: Sequence[Tool], plain: Mapping[str, wire.Tool]) -> None:
        self.policy = policy
        self._plain = plain
        self._narrower = Narrower(policy, tools)
        self._narrowed: dict[tuple[Narrowing, tuple[str, ...]], wire.Tool] = {}
        self._seen: dict[tuple[Principal, frozenset[str]], list[wire.Tool]] = {}
        self._most = max(1, _MOST_REMEMBERED // max(1, len(tools)))
        self._narrower.prepare(self._most)
        for name, narrowing in self._narrower.kept():
            self._shown(name, narrowing, ())

    def tools(self, principal: Principal) -> list[wire.Tool]:
        """The tools that policy may allow a principal, or ask a person about, with schemas that say which calls."""
        key = principal, principal.roles
        if (seen := self._seen.pop(key, None)) is None:
            found = self._narrower.narrow(principal).items()
            limits = {name: self._limits(principal, name) for name, narrowing in found if narrowing.possible}
            seen = [self._shown(name, narrowing, limits[name]) for name, narrowing in found if name in limits]
        self._seen[key] = seen  # the one that was asked for last stands last
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]
        return seen

    def _limits(self, principal: Principal, name: str) -> tuple[str, ...]:
        return limits_in_words(self.policy, principal, name)

    def _shown(self, name: str, narrowing: Narrowing, limits: tuple[str, ...]) -> wire.Tool:
        if (shown := self._narrowed.get((narrowing, limits))) is None:
            shown = narrowed(self._plain[name], narrowing, limits)
            if narrowing.shared:
                self._narrowed[narrowing, limits] = shown
        return shown


class Listings:
    """The listing under the policy in force.

    Args:
        tools: All tools that there are at the moment; they change with the policy only.
        policy: The policy in force at the start.
    """

    def __init__(self, tools: Collection[Tool], policy: Policy) -> None:
        self._tools = tools
        self._current = self._made(policy, tuple(tools))

    async def under(self, policy: Policy) -> Listing:
        """The listing under a policy, which is worked out beside other requests when the policy is new."""
        listing = self._current
        if listing.policy is not policy:
            listing = self._current = await anyio.to_thread.run_sync(self._made, policy, tuple(self._tools))
        return listing

    @staticmethod
    def _made(policy: Policy, tools: Sequence[Tool]) -> Listing:
        return Listing(policy, tools, {tool.name: described(tool) for tool in tools})


def described(tool: Tool) -> wire.Tool:
    """A tool as it is without policy: schemas, and annotations from its effect."""
    return wire.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=dict(form_of(tool.input).schema),
        output_schema=answer_schema(tool.output),
        annotations=wire.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.effect is Effect.READ,
            destructive_hint=tool.effect in {Effect.SEND, Effect.DELETE},
            idempotent_hint=tool.idempotency in {Idempotency.NONE_NEEDED, Idempotency.VERSION},
            open_world_hint=tool.effect is Effect.SEND,
        ),
    )


def limits_in_words(policy: Policy, principal: Principal, name: str) -> tuple[str, ...]:
    """What limits say of a tool, those left out that say the same of every tool."""
    limits = policy.limits_on(principal, name)
    return tuple(f"Limit: {limit.words} ({limit.id})." for limit in limits if limit.pattern != "*")


def narrowed(plain: wire.Tool, narrowing: Narrowing, limits: Sequence[str] = ()) -> wire.Tool:
    """A tool with the schema and the words of a narrowing, and those of limits."""
    changed: dict[str, Any] = {}
    if words := [*narrowing.words, *limits]:
        changed["description"] = "\n- ".join([f"{plain.description}\n\nPolicy:", *words])
    if narrowing.schema != plain.input_schema:
        changed["input_schema"] = narrowing.schema
    return plain.model_copy(update=changed) if changed else plain
