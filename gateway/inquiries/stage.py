"""The stage of a call whose server asks its client: on record, with what the client thereby sees, before it is asked.

An answer is a value that leaves for the server, and a client's model may put into it whatever the run has seen. So
nothing is asked, and no answer passed on, while the run has seen what is more confidential than the server's file
clears; beyond that, policy decides the call anew with every answer.
"""

import json
from secrets import token_hex
from typing import NoReturn

from connectors.asking import Asked, Asking, Passed
from connectors.contract import Effect, Tool
from connectors.errors import ConnectorError, InDoubt, InvalidInput
from gateway.canonical import keyed_hash
from gateway.flow.labels import Label
from gateway.flow.stage import heard_words
from gateway.gateway import Decided, Gateway, ToolCall, record
from gateway.inquiries.inquiry import LONGEST, ClientAsked, Inquiry
from gateway.inquiries.wording import words_of
from gateway.journal import Kind

MOST_ROUNDS = 10
"""How often one call's client is asked."""


def asking_of(gateway: Gateway, call: ToolCall, tool: Tool) -> Asking:
    """What a back end may ask of a call's client: what its file passes on and the client can do."""
    resumed = call.resumed
    return Asking(
        kinds=tool.passes & call.from_client.kinds,
        log_level=call.from_client.log_level if Passed.LOG in tool.passes else "",
        log=call.from_client.log,
        answers=resumed.answers if resumed else None,
        state=resumed.inquiry.state if resumed else "",
        seconds=gateway.patience.answer_seconds,
    )


async def inquire(gateway: Gateway, decided: Decided, call: ToolCall, asked: Asked) -> NoReturn:
    """Record that the client of a begun call is asked, and stop the call there.

    Args:
        gateway: The gateway.
        decided: The call as it was decided.
        call: The call under the name that it goes by.
        asked: What is asked.

    Raises:
        ClientAsked: That it is; the call holds nothing here while its client thinks.
        ConnectorError: If it is not to be asked: the call ends.
        JournalUnavailable: If it cannot be recorded.
    """
    tool, resumed = decided.tool, decided.call.resumed
    number = resumed.inquiry.round + 1 if resumed else 1
    inquiry = Inquiry(call.id, call.key, token_hex(12), number, tool.area, asked.questions, asked.state)
    if number > MOST_ROUNDS:
        raise _ended(tool, asked, f"the server `{tool.area}` asks more than {MOST_ROUNDS} times")
    if len(inquiry.written()) > LONGEST:
        raise _ended(tool, asked, f"the server `{tool.area}` asks with more than {LONGEST} characters")
    _, why = await cleared(gateway, call, tool)
    if why:
        raise _ended(tool, asked, why)
    await log_recorded(gateway, call, tool)
    words = [word for question in asked.questions.values() for word in words_of(question)]
    asks = sorted(inquiry.questions.items())
    await record(
        gateway,
        call,
        Kind.INQUIRED,
        beside=heard_words(gateway, call, tool, words),
        inquiry=inquiry.name,
        round=number,
        held=asked.is_held,
        kinds=[question.kind for _, question in asks],
        hashes=[keyed_hash(json.dumps(question.params, sort_keys=True), gateway.secret) for _, question in asks],
    )
    raise ClientAsked(inquiry)


async def cleared(gateway: Gateway, call: ToolCall, tool: Tool) -> tuple[Label, str]:
    """The label of all that a call's run has seen, and why nothing of it may go to the tool's server; empty if it may.

    Raises:
        JournalUnavailable: If that cannot be read.
    """
    async with gateway.runs.of(call.principal, call.grant, gateway.now()) as (run, _):
        label = run.label
    if label.confidentiality.rank <= tool.clearance.rank:
        return label, ""
    return label, (
        f"what its client answers would go to `{tool.area}`, which is cleared up to `{tool.clearance}`, "
        f"and this run has seen data that is `{label.confidentiality}`"
    )


async def log_recorded(gateway: Gateway, call: ToolCall, tool: Tool) -> None:
    """Put on record that the client is told what the server logged, if it logged anything; then it may be told.

    Raises:
        JournalUnavailable: If it cannot be recorded; then it is not told.
    """
    heard = call.from_client.heard
    if heard:
        beside = heard_words(gateway, call, tool, [words for _, words in heard])
        await record(gateway, call, Kind.LOGGED, times=len(heard), beside=beside)
        call.from_client.release()


def _ended(tool: Tool, asked: Asked, why: str) -> ConnectorError:
    """The end of a call whose client is not asked; one that waits at its server may have begun there."""
    if asked.is_held and tool.effect is not Effect.READ:
        return InDoubt(why)
    return InvalidInput(f"{why}; the call was given up")
