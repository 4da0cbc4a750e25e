"""Talks to a Remit gateway over MCP: connect, list the tools, call one, get one of four outcomes."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from orchestrator.invalid import first_wrong

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")
CALL_TIMEOUT = 45.0


class GatewayError(Exception):
    """The gateway cannot be used: it does not answer, refuses the token, or does not speak as Remit does."""


class _Part(BaseModel):
    # A newer gateway may say more than is read here.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Ok(_Part):
    """The call ran. `untrusted` names the parts of `result` that outsiders could have written; None means all."""

    status: Literal["ok"] = "ok"
    call_id: str = ""
    result: dict[str, Any]
    untrusted: list[str] | None = None
    confidentiality: str = ""
    """How confidential the most confidential of it is: `public`, `internal`, …; empty if the gateway does not say."""


class Denied(_Part):
    """Policy refused the call; nothing happened."""

    status: Literal["denied"] = "denied"
    call_id: str = ""
    reason: str = ""
    rules: list[str] = []
    next: str = ""


class Approval(_Part):
    id: str
    expires_at: datetime | None = None
    url: str | None = None
    asked_back: str | None = None


class Pending(_Part):
    """Policy asks a person first; nothing has happened yet."""

    status: Literal["pending_approval"] = "pending_approval"
    call_id: str = ""
    reason: str = ""
    rules: list[str] = []
    approval: Approval
    next: str = ""


class Problem(_Part):
    kind: str
    message: str
    field: str = ""


class Failed(_Part):
    """The call was allowed and failed, its input was wrong, or there is no such tool for this caller."""

    status: Literal["failed"] = "failed"
    call_id: str = ""
    error: Problem
    next: str = ""


Outcome = Annotated[Ok | Denied | Pending | Failed, Field(discriminator="status")]
_OUTCOME: TypeAdapter[Ok | Denied | Pending | Failed] = TypeAdapter(Outcome)


@dataclass(frozen=True, slots=True)
class Declared:
    """What the orchestrator states about a call for the gateway's journal.

    Args:
        run: Id of the run that the call belongs to.
        model: Who decided on the call, such as `stand-in` or `openai:gpt-5.6-luna`.
        prompt: The prompt and its version, such as `triage@1`.
        key: Idempotency key: repeating a call under its key never repeats the effect.
        grant: Token of the grant that narrows the call; empty if there is none.
        case: Why, for whoever approves: `recommendation`, `evidence`, `confidence`, `risk`, `alternatives`.
        reply: Answers what an approver asked back.
    """

    run: str
    model: str
    prompt: str
    key: str
    grant: str = field(default="", repr=False)
    case: Mapping[str, Any] | None = None
    reply: str = ""

    def to_meta(self) -> dict[str, Any]:
        """The `_meta` entries of the call."""
        said: dict[str, Any] = {
            "remit/run": self.run,
            "remit/model": self.model,
            "remit/prompt": self.prompt,
            "remit/key": self.key,
            "remit/case": dict(self.case) if self.case else None,
            "remit/reply": self.reply,
        }
        return {name: value for name, value in said.items() if value} | _granted(self.grant)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the gateway offers it to this caller. `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]
    read_only: bool


def _granted(token: str) -> dict[str, str]:
    return {"remit/grant": token} if token else {}


def parse_outcome(structured: object) -> Ok | Denied | Pending | Failed:
    """Read a tool call's structured content.

    Raises:
        GatewayError: If it is not Remit's envelope.
    """
    try:
        return _OUTCOME.validate_python(structured)
    except ValidationError as error:
        where, what = first_wrong(error)
        raise GatewayError(f"the server's answer is not Remit's: `{where}`: {what.lower()}") from None


class GatewayClient:
    """A connection to one gateway; made by `connect`.

    `is_sound` turns false with the first request that it could not get an answer of Remit's to.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.is_sound = True

    async def list_tools(self, grant: str = "") -> dict[str, Tool]:
        """Get the tools that this caller may use, by name, as far as a grant leaves them.

        Raises:
            GatewayError: If the gateway does not take the grant, or the connection is lost.
        """
        from mcp.shared.exceptions import MCPError
        from mcp_types import RequestParamsMeta

        meta = RequestParamsMeta(**_granted(grant)) if grant else None  # type: ignore[typeddict-item] # own keys
        try:
            listed = (await _in_time(self._client.list_tools(meta=meta))).tools  # Remit's whole list is one page
        except MCPError as error:
            self.is_sound = False
            raise GatewayError(f"the gateway does not list its tools: {error.message}") from None
        return {
            tool.name: Tool(
                tool.name,
                tool.description or "",
                tool.input_schema,
                bool(tool.annotations and tool.annotations.read_only_hint),
            )
            for tool in listed
        }

    async def call(self, tool: str, arguments: dict[str, Any], declared: Declared) -> Ok | Denied | Pending | Failed:
        """Call one tool.

        A call that takes too long comes back as `Failed` with kind `timeout`, and one that a server in between answered
        with `unavailable`: it may have happened, and repeating it under the same key is safe.

        Raises:
            GatewayError: If the connection is lost or the answer is not Remit's.
        """
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, REQUEST_TIMEOUT, RequestParamsMeta

        meta = RequestParamsMeta(**declared.to_meta())  # type: ignore[typeddict-item] # own keys are allowed
        try:
            asked = self._client.call_tool(tool, arguments, read_timeout_seconds=CALL_TIMEOUT, meta=meta)
            answer = await _in_time(asked)
        except MCPError as error:
            if error.code == INVALID_PARAMS:
                return Failed(error=Problem(kind="refused", message=f"`{tool}`: {error.message}"))
            self.is_sound = False
            if error.code == CONNECTION_CLOSED:
                raise GatewayError(f"the gateway closed the connection during `{tool}`") from None
            # What else stands there may quote what some server in between wrote.
            kind = "timeout" if error.code == REQUEST_TIMEOUT else "unavailable"
            return Failed(error=Problem(kind=kind, message="the gateway does not answer"))
        except RuntimeError:  # the SDK's word for an answer that breaks the tool's own output schema
            self.is_sound = False
            raise GatewayError(f"the answer to `{tool}` breaks its schema") from None
        return parse_outcome(answer.structured_content)


async def _in_time(asked: Awaitable[T]) -> T:
    """What a request gives. The SDK counts from when it is written, which a program that reads nothing puts off."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import REQUEST_TIMEOUT

    try:
        with anyio.fail_after(3 * CALL_TIMEOUT):  # a call may ask for the list of tools first
            return await asked
    except TimeoutError:
        raise MCPError(REQUEST_TIMEOUT, "the request could not be written in time") from None


@asynccontextmanager
async def connect(
    *, url: str = "", token: str = "", command: list[str] | None = None, seconds: float = CALL_TIMEOUT
) -> AsyncIterator[GatewayClient]:
    """Connect to a gateway by URL, or start one and talk to it over stdio.

    Args:
        url: The MCP endpoint, such as `http://127.0.0.1:8900/mcp`.
        token: Bearer token for the URL.
        command: Program and arguments of a gateway to start instead, such as `["remit", "serve", "--stdio"]`.
        seconds: How long connecting and each request may take.

    Raises:
        GatewayError: If there is no gateway to talk to, or it goes away while it is used.
    """
    statuses: list[int] = []
    where = f"`{' '.join(command)}`" if command else f"`{url}`"
    try:
        async with AsyncExitStack() as stack:
            yield GatewayClient(await _open(stack, url, token, command, seconds, statuses))
    except ExceptionGroup as group:
        # The SDK runs its transport in task groups: whatever ends them, ours or theirs, arrives wrapped.
        cause = _first(group)
        if (described := _describe(cause, where, statuses)) is None:
            raise cause from None
        raise described from None
    except OSError as error:
        raise _describe(error, where, statuses) or error from None


async def _open(
    stack: AsyncExitStack, url: str, token: str, command: list[str] | None, seconds: float, statuses: list[int]
) -> "Client":
    from mcp import Client, StdioServerParameters
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client
    from mcp_types import Implementation

    about = Implementation(name="remit-orchestrator", version=version("remit"))
    if command:
        program = StdioServerParameters(command=command[0], args=command[1:])
        client = Client(program, read_timeout_seconds=seconds, cache=None, client_info=about)
        return await stack.enter_async_context(client)

    async def note_status(response: Any) -> None:  # noqa: ANN401 - the HTTP library is the SDK's own choice
        statuses[:] = [response.status_code]  # the last one tells enough, and a connection lasts as long as a worker

    http = create_mcp_http_client(headers={"Authorization": f"Bearer {token}"} if token else None)
    http.event_hooks = {"response": [note_status]}
    await stack.enter_async_context(http)
    transport = streamable_http_client(url, http_client=http)
    client = Client(transport, read_timeout_seconds=seconds, cache=None, client_info=about)
    return await stack.enter_async_context(client)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _describe(cause: BaseException, where: str, statuses: list[int]) -> GatewayError | None:
    """Say in one line why the gateway cannot be used, or None if the error is not the connection's."""
    from mcp.shared.exceptions import MCPError

    if isinstance(cause, MCPError) and statuses[-1:] in ([401], [403]):
        return GatewayError(f"the gateway at {where} refuses the token; make one with `remit token create`")
    if isinstance(cause, MCPError) and statuses[-1:] == [404]:
        return GatewayError(f"there is no MCP endpoint at {where}; Remit's ends in `/mcp`")
    from_http = type(cause).__module__.partition(".")[0] in ("httpx2", "httpcore2", "anyio")
    if from_http or isinstance(cause, OSError | MCPError):
        return GatewayError(f"no answer from the gateway at {where}: {cause}; start it with `remit serve`")
    return None
