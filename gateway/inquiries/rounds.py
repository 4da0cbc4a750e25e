"""How a client is asked what an upstream server wants to know, in the way of its protocol era, and the call made again.

From 2026-07-28 on a call is answered by what is asked, and the client repeats it with the answers; before, the client
gets a request within its own. No slot is held meanwhile, and what comes back decides nothing: it goes on where the
journal says that it may.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import mcp.types as wire
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError
from structlog import get_logger

from connectors.asking import Given, LacksCapability, Passed, Question
from gateway.gateway import ToolCall, new_call_id
from gateway.inquiries.client import LEVELS, given, kinds_of, result_for, wants
from gateway.inquiries.inquiry import Client, ClientAsked, Inquiry, Resumed, inquiry_in
from gateway.inquiries.wording import harmless, request_for

log = get_logger("remit.inquiries")

_RESULTS: dict[Passed, type[BaseModel]] = {
    Passed.FORM: wire.ElicitResult,
    Passed.PAGE: wire.ElicitResult,
    Passed.SAMPLING: wire.CreateMessageResult,
    Passed.ROOTS: wire.ListRootsResult,
}
_TELL_SECONDS = 1.0
_LOG_LEVEL = "log_level"
_NEEDS: dict[Passed, dict[str, Any]] = {
    Passed.SAMPLING: {"sampling": {}},
    Passed.ROOTS: {"roots": {}},
    Passed.FORM: {"elicitation": {"form": {}}},
    Passed.PAGE: {"elicitation": {"url": {}}},
}

Context = ServerRequestContext[Any, Any]
Result = wire.CallToolResult | wire.InputRequiredResult
Make = Callable[[ToolCall], Awaitable[Result]]


class Rounds:
    """Asks clients, so many at the same time.

    Args:
        seconds: How long a client has to answer.
        most: How many may be asked within their own requests at the same time.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._places = anyio.Semaphore(most)

    async def make(self, context: Context, params: wire.CallToolRequestParams, call: ToolCall, make: Make) -> Result:
        """Make a call, or go on with one, and ask its client whatever its server asks.

        Args:
            context: The request.
            params: Its parameters.
            call: The call that it is.
            make: Makes the call; raises `ClientAsked` where it stops.

        Raises:
            MCPError: If the server needs what the client cannot do.
        """
        call = replace(call, from_client=_client(context))
        inquiry, responses = inquiry_in(params.request_state), params.input_responses or {}
        try:
            if inquiry is not None:
                answers = given(inquiry.questions, responses)
                if answers is None:
                    return _asked_in_answer(inquiry, call.tool)
                call, responses = replace(call, resumed=Resumed(inquiry, answers)), {}
            elif params.request_state is not None:
                responses = {}
            return await self._until_done(context, call, responses, make)
        except LacksCapability as error:
            needed: dict[str, Any] = {}
            for kind in sorted(error.kinds):
                needed |= _NEEDS[kind]
            data = {"requiredCapabilities": needed}
            raise MCPError(wire.MISSING_REQUIRED_CLIENT_CAPABILITY, error.message, data) from None
        finally:
            await _tell_log(context, call)

    async def _until_done(self, context: Context, call: ToolCall, brought: wire.InputResponses, make: Make) -> Result:
        while True:
            try:
                return await make(call)
            except ClientAsked as asked:
                inquiry = asked.inquiry
            # A client may bring along what it knows to be asked for: of that, what is asked counts, if it is all.
            answers, brought = given(inquiry.questions, brought), {}
            if answers is None and context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                return _asked_in_answer(inquiry, call.tool)
            if answers is None:
                answers = await self._asked_meanwhile(context, inquiry, call.tool)
            call = replace(call, id=new_call_id(), resumed=Resumed(inquiry, answers))

    async def _asked_meanwhile(self, context: Context, inquiry: Inquiry, tool: str) -> dict[str, Given]:
        """Ask by requests within the client's request; what it does not answer in time, it has refused."""
        answers = {name: Given(question.kind, None) for name, question in inquiry.questions.items()}
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            log.warning("not_asked_for_lack_of_places", call=inquiry.call)
            return answers
        try:
            with anyio.move_on_after(self._seconds):
                for name, question in inquiry.questions.items():
                    answers[name] = Given(question.kind, await self._answer(context, inquiry, question, tool))
        finally:
            self._places.release()
        return answers

    async def _answer(self, context: Context, inquiry: Inquiry, question: Question, tool: str) -> dict[str, Any] | None:
        request = request_for(question, inquiry.area, tool, inquiry.name)
        related = ServerMessageMetadata(related_request_id=context.request_id)
        try:
            response = await context.session.send_request(
                request, _RESULTS[question.kind], self._seconds, metadata=related
            )
        except (MCPError, ValidationError) as error:
            log.info("client_gave_no_answer", call=inquiry.call, why=type(error).__name__)
            return None
        return result_for(question, response)


def _client(context: Context) -> Client:
    version, session = context.protocol_version, context.session
    can_be_asked = version in MODERN_PROTOCOL_VERSIONS or session.can_send_request
    kinds = kinds_of(session.client_capabilities, version) if can_be_asked else frozenset[Passed]()
    return Client(kinds, log_level_of(context))


def log_level_of(context: Context) -> str:
    """From which level on a client wants a log: as its request says, or up to 2025-11-25 as it set it before."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        level = (context.meta or {}).get(wire.LOG_LEVEL_META_KEY)
    else:
        level = _state(context).get(_LOG_LEVEL)
    return level if isinstance(level, str) and level in LEVELS else ""


def set_log_level(context: Context, level: str) -> None:
    """Remember for a connection from which level on its client wants a log."""
    _state(context)[_LOG_LEVEL] = level


def _state(context: Context) -> dict[str, Any]:
    # The SDK keeps state for a connection and has no public way to it from a request.
    return context.session._connection.state  # noqa: SLF001


def _asked_in_answer(inquiry: Inquiry, tool: str) -> wire.InputRequiredResult:
    requests = {name: request_for(each, inquiry.area, tool, None) for name, each in inquiry.questions.items()}
    return wire.InputRequiredResult(input_requests=requests, request_state=inquiry.written())


async def _tell_log(context: Context, call: ToolCall) -> None:
    """Tell what the server logged, now that it is on record that the client sees it."""
    client = call.from_client
    if not client.told:
        return
    # A client that no longer reads must not hold up anything.
    with anyio.move_on_after(_TELL_SECONDS):
        for level, words in client.told:
            if wants(level, client.log_level):
                line: Any = {"level": level, "logger": call.tool, "data": harmless(words)}
                notification = wire.LoggingMessageNotification(params=wire.LoggingMessageNotificationParams(**line))
                await context.session.send_notification(notification, context.request_id)
