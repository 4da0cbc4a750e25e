"""Calls in whose course the server may ask the client that made them: each has a session with the server of its own.

So whatever comes on that session belongs to that call, and the server is told of exactly those capabilities that the
calling client has and the server's file passes on. From 2026-07-28 on a server asks by its answer and forgets the call;
before, it asks in the middle of it, and the call is held here, in a task of its own, until the answers come.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import anyio
import mcp.types as wire
from anyio.abc import TaskGroup
from mcp.client import Client, ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import x_mcp_header_map
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from structlog import get_logger

from connectors.asking import MOST_LOGGED, Asked, Asking, Given, Passed, Question
from connectors.errors import Unavailable
from connectors.mcp_upstream.asked import NotPassed, answer, lacking, question, questions
from connectors.mcp_upstream.client import REMIT, RESULT, UNUSABLE, Progress, failed, transport
from connectors.mcp_upstream.declaration import Server
from connectors.mcp_upstream.failures import BadServer, Lost, Refused
from connectors.mcp_upstream.results import text
from connectors.mcp_upstream.showing import Showing
from connectors.mcp_upstream.tracing import passing_on

log = get_logger("remit.upstream")

_LONGEST_STATE = 8_192
_LONGEST_LINE = 1_000
_MOST_EVENTS = 10
_LONGEST_CALL_SECONDS = 3_600.0
_CANNOT_CONNECT = (*UNUSABLE, MCPError, BadServer, RuntimeError, ExceptionGroup)


@dataclass(frozen=True)
class OneCall:
    """What is to be called.

    Args:
        name: The tool, by the server's name.
        arguments: As they go to the server.
        schema: The server's schema of them.
        passes: What its file passes on.
        shown: What the server is shown, if its file names a credential.
    """

    name: str
    arguments: Mapping[str, Any]
    schema: Mapping[str, Any]
    passes: frozenset[Passed]
    shown: Showing | None = None


class AskingCalls:
    """The calls of one server that may ask.

    Args:
        server: Which.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._held: dict[str, _Held] = {}
        self._tasks: TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold calls until the block ends; then those that still wait are given up."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            yield
            tasks.cancel_scope.cancel()

    async def call(self, version: str, call: OneCall, asking: Asking, told: Progress) -> wire.CallToolResult:
        """Make a call, or go on with one that asked.

        Args:
            version: The protocol version that the server speaks.
            call: What is called.
            asking: What its client can be asked, and has answered.
            told: Takes what the server reports of its progress.

        Raises:
            Asked: If its client has to answer first.
            LacksCapability: If the server needs what its client cannot do.
            Refused: If the server says no, or asks for what goes to nobody.
            NotLetIn: If it refuses what it is shown.
            Lost: If it gives no usable answer.
            Unavailable: If nothing was sent.
        """
        if version in MODERN_PROTOCOL_VERSIONS:
            return await self._in_rounds(version, call, asking, told)
        held = self._begun(call, asking, told) if asking.answers is None else self._resumed(asking, told)
        try:
            return await held.until_told()
        except Asked:
            raise
        except BaseException:
            held.scope.cancel()
            raise

    async def _in_rounds(self, version: str, call: OneCall, asking: Asking, told: Progress) -> wire.CallToolResult:
        answers = {} if asking.answers is None else {name: answer(given) for name, given in asking.answers.items()}
        if None in answers.values():
            raise Refused("the client that made the call did not answer what its server asked")
        params = wire.CallToolRequestParams(
            name=call.name,
            arguments=dict(call.arguments),
            input_responses={name: given for name, given in answers.items() if given} or None,
            request_state=asking.state or None,
        )
        result = _raised(await _sent(self._server, version, params, call, asking, told, _Refusing()))
        if isinstance(result, wire.CallToolResult):
            return result
        state = result.request_state or ""
        if len(state) > _LONGEST_STATE:
            raise Refused(f"it wants to be told more than {_LONGEST_STATE} characters again")
        try:
            asked = questions(result.input_requests or {}, self._server, asking.kinds)
        except NotPassed as error:
            raise Refused(str(error)) from None
        raise Asked(asked, state, is_held=False)

    def _begun(self, call: OneCall, asking: Asking, told: Progress) -> "_Held":
        if self._tasks is None or len(self._held) >= self._server.max_calls:
            raise Unavailable(f"too many calls to `{self._server.name}` wait for answers; nothing was done")
        held = _Held(token_hex(16), self._server, asking, told)
        self._held[held.name] = held
        self._tasks.start_soon(self._hold, held, call)
        return held

    def _resumed(self, asking: Asking, told: Progress) -> "_Held":
        held = self._held.get(asking.state)
        [given] = (asking.answers or {}).values() or [None]
        if held is None or given is None or not held.take(given, asking, told):
            raise Lost("the call is held in another process, or is no longer held")
        return held

    async def _hold(self, held: "_Held", call: OneCall) -> None:
        params = wire.CallToolRequestParams(name=call.name, arguments=dict(call.arguments))
        with held.scope:
            try:
                outcome = await _sent(self._server, "legacy", params, call, held.asking, held.report, held)
            except Exception as error:
                log.exception("upstream_call_failed", server=self._server.name)
                outcome = Lost(type(error).__name__)
            held.tell(outcome)
        self._held.pop(held.name, None)
        held.tell(Lost("nobody answered in time"))


@dataclass(eq=False)
class _Waiting:
    """A question of a held call that waits for its answer."""

    question: Question
    answered: anyio.Event = field(default_factory=anyio.Event)
    given: Given | None = None


Outcome = wire.CallToolResult | wire.InputRequiredResult | Exception


class _Refusing:
    """Answers what a server asks that asks by its answer: nothing, since it must not ask in between."""

    async def ask(self, request: wire.InputRequest) -> Any:  # noqa: ANN401, ARG002 - a callback of the SDK
        return wire.ErrorData(code=wire.INVALID_REQUEST, message="not asked this way")


class _Held:
    """A call that waits at a server of a handshake era; one task calls, others come and go with answers."""

    def __init__(self, name: str, server: Server, asking: Asking, told: Progress) -> None:
        self.name = name
        self.asking = asking
        self.scope = anyio.CancelScope()
        self._server = server
        self._told = told
        self._waiting: _Waiting | None = None
        self._events: deque[_Waiting | Outcome] = deque(maxlen=_MOST_EVENTS)
        self._is_told = anyio.Event()

    async def report(self, done: float, total: float | None) -> None:
        """Pass the progress on to whoever made the call last."""
        await self._told(done, total)

    def tell(self, event: "_Waiting | Outcome") -> None:
        """Let whoever waits for the call know."""
        self._events.append(event)
        self._is_told.set()

    async def until_told(self) -> wire.CallToolResult:
        """Wait for the call's result, or for what it asks next."""
        while not self._events:
            self._is_told = anyio.Event()
            await self._is_told.wait()
        event = self._events.popleft()
        if isinstance(event, _Waiting):
            self._waiting = event
            self.scope.deadline = anyio.current_time() + self.asking.seconds
            raise Asked({"question": event.question}, self.name, is_held=True)
        result = _raised(event)
        if isinstance(result, wire.InputRequiredResult):
            raise Lost("the answer is none of its protocol version")
        return result

    def take(self, given: Given, asking: Asking, told: Progress) -> bool:
        """Hand over the answer to what was asked; False if nothing was."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.question.kind is not given.kind:
            return False
        self.asking, self._told = asking, told
        self.scope.deadline = float("inf")
        waiting.given = given
        waiting.answered.set()
        return True

    async def ask(self, request: wire.InputRequest) -> Any:  # noqa: ANN401 - a callback of the SDK
        """Take a question of the server and wait until it is answered."""
        try:
            waiting = _Waiting(question(request, self._server, self.asking.kinds))
        except NotPassed as error:
            return wire.ErrorData(code=wire.INVALID_REQUEST, message=str(error))
        if len(self._events) >= _MOST_EVENTS - 2:
            return wire.ErrorData(code=wire.INVALID_REQUEST, message="too many questions at once")
        self.tell(waiting)
        await waiting.answered.wait()
        assert waiting.given is not None  # noqa: S101 - set before the event
        told = answer(waiting.given)
        return told or wire.ErrorData(code=wire.INVALID_REQUEST, message="the client refused")


async def _sent(
    server: Server,
    mode: str,
    params: wire.CallToolRequestParams,
    call: OneCall,
    asking: Asking,
    told: Progress,
    asked: _Refusing | _Held,
) -> Outcome:
    """Make the call on a session of its own; errors are given, not raised, so that no task group wraps them.

    Raises:
        Exception: Never but for a defect, or by being cancelled.
    """

    async def report(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - its words
        await told(progress, total)

    is_sent = False
    outcome: Outcome | None = None
    try:
        async with _session(server, mode, call.shown, asking, asked) as client:
            is_sent = True
            # The SDK knows which arguments to mirror into headers from a listing, and this session has none.
            client.session._x_mcp_header_maps[call.name] = x_mcp_header_map(call.schema)  # noqa: SLF001
            request = wire.CallToolRequest(params=params)
            try:
                with passing_on(server.pass_trace):
                    outcome = await client.session.send_request(
                        request, RESULT, _LONGEST_CALL_SECONDS, progress_callback=report
                    )
            except MCPError as error:
                outcome = lacking(error.error, call.passes, asking.kinds) or failed(error)
            except UNUSABLE as error:
                outcome = failed(error)
    except _CANNOT_CONNECT as error:
        if outcome is None and is_sent:
            return Lost(type(error).__name__)
        # What goes wrong in taking leave takes nothing back.
        return outcome or Unavailable(f"the server `{server.name}` cannot be reached; nothing was done")
    return outcome


@asynccontextmanager
async def _session(
    server: Server, mode: str, shown: Showing | None, asking: Asking, asked: _Refusing | _Held
) -> AsyncIterator[Client]:
    logged = 0

    async def sampled(
        context: ClientRequestContext,  # noqa: ARG001 - a session serves one call
        params: wire.CreateMessageRequestParams,
    ) -> Any:  # noqa: ANN401 - a callback of the SDK
        return await asked.ask(wire.CreateMessageRequest(params=params))

    async def elicited(context: ClientRequestContext, params: wire.ElicitRequestParams) -> Any:  # noqa: ANN401, ARG001
        return await asked.ask(wire.ElicitRequest(params=params))

    async def listed(context: ClientRequestContext) -> Any:  # noqa: ANN401, ARG001
        return await asked.ask(wire.ListRootsRequest())

    async def heard(params: wire.LoggingMessageNotificationParams) -> None:
        nonlocal logged
        logged += 1
        if logged <= MOST_LOGGED and asking.log_level:
            of_now = asked.asking if isinstance(asked, _Held) else asking
            of_now.log(params.level, text(str(params.data))[:_LONGEST_LINE])

    kinds = asking.kinds
    level: Any = asking.log_level or None
    client = Client(
        transport(server, lambda: None, shown),
        mode=mode,
        read_timeout_seconds=server.timeout,
        sampling_callback=sampled if Passed.SAMPLING in kinds else None,
        elicitation_callback=elicited if kinds & {Passed.FORM, Passed.PAGE} else None,
        list_roots_callback=listed if Passed.ROOTS in kinds else None,
        logging_callback=heard,
        log_level=level,
        client_info=REMIT,
        cache=None,
    )
    async with client:
        if level and mode == "legacy" and client.server_capabilities.logging is not None:
            request = wire.SetLevelRequest(params=wire.SetLevelRequestParams(level=level))
            # A server that cannot leave out lines sends them all; a client gets what it wants of them.
            with suppress(MCPError):
                await client.session.send_request(request, wire.EmptyResult)
        yield client


def _raised(outcome: Outcome) -> wire.CallToolResult | wire.InputRequiredResult:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
