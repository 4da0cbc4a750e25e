"""A model at work within a run: an agent loop over the gateway's tools, or one question with a typed answer.

Each answer of a model and each outcome of a call is a step of the run. After a restart the loop begins anew and gets
from its steps what it got before, so it comes to where it was without asking or doing anything twice. Imported only
where a model is asked: pydantic-ai is slow to load.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.exceptions import AgentRunError, CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults
from pydantic_ai.tools import Tool as ModelTool
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import RunUsage, UsageLimits
from pydantic_core import SchemaValidator, core_schema

from orchestrator.durable.run import Parked, any_of
from orchestrator.fence import fence, unfence
from orchestrator.gateway_client import Ok, Pending, Tool
from orchestrator.models.asking import Account, Ask
from orchestrator.prompt import Prompt
from orchestrator.work import Said, Settled, Work, facts_of

O = TypeVar("O", bound=BaseModel)  # noqa: E741 - the output
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))


class Exhausted(Exception):
    """The model reached a bound, or gave no usable answer: the work is a person's now."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a loop may go.

    Args:
        requests: Model requests.
        tool_calls: Calls to the gateway that the model may make.
        tokens: Tokens in and out, over all requests.
        answer_tokens: Tokens of one model response.
        seconds: Working time without waiting; what waits for a person does not count.
    """

    requests: int = 10
    tool_calls: int = 16
    tokens: int = 80_000
    answer_tokens: int = 4_000
    seconds: float = 180.0


class _Answer(BaseModel):
    """A model's answer as a step keeps it."""

    response: ModelResponse
    account: Account


class DurableModel(Model[Any]):
    """The models of a route as one model, whose answers are steps of a run."""

    def __init__(self, work: Work, step: str, route: str, prompt: Prompt) -> None:
        super().__init__()
        self._work, self._step, self._route, self._prompt = work, step, route, prompt
        self.account = Account(model="")

    @property
    def model_name(self) -> str:
        """The route's name: which model answers is known only then."""
        return self._route

    @property
    def system(self) -> str:
        """What telemetry calls the provider."""
        return "remit"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The next answer of the run, asked for if the run does not have it yet."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        number = 1 + sum(isinstance(message, ModelResponse) for message in messages)
        name = f"{self._step}.model{number}"
        work = self._work
        key = f"{work.run.id}:{work.run.upcoming(name)}"

        async def ask() -> _Answer:
            wanted = Ask(
                route=self._route,
                messages=messages,
                parameters=parameters,
                settings=settings,
                sees=work.sees,
                payer=work.payer,
                key=key,
                prompt=self._prompt.label,
                mark=work.mark,
            )
            answered = await work.around.models.ask(wanted)
            return _Answer(response=_distinct(answered.response, number), account=answered.account)

        kept = await work.run.step(name, ask, _Answer, kind="model", facts=lambda it: it.account.model_dump())
        self.account = kept.account
        return kept.response


def _distinct(response: ModelResponse, number: int) -> ModelResponse:
    """The answer with a name of its own for each call in it: some providers leave ids out or repeat them."""
    parts = [
        replace(part, tool_call_id=f"call_{number}_{place}") if isinstance(part, ToolCallPart) else part
        for place, part in enumerate(response.parts)
    ]
    return replace(response, parts=parts)


@dataclass
class Session:
    """What a loop has called and read so far."""

    work: Work
    step: str
    prompt: Prompt
    model: DurableModel
    tools: Mapping[str, Tool]
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    read: list[Any] = field(default_factory=list)
    case: Mapping[str, Any] | None = None

    async def attempt(self, tool: str, arguments: dict[str, Any], place: str) -> Settled | Pending:
        """Call a tool; a call that a person has to answer first stays open and is attempted again later."""
        name = f"{self.step}.{place}.{tool}"
        model = self.model.account.model
        return await self.work.try_call(name, tool, arguments, Said(self.prompt.label, model, self.case))

    def shown(self, tool: str, arguments: Mapping[str, Any], outcome: Settled) -> dict[str, Any]:
        """An outcome as the model may see it: outside text between marks and bounded."""
        self.calls.append(facts_of(tool, arguments, outcome))
        if not isinstance(outcome, Ok):
            return outcome.model_dump(exclude={"call_id"})
        self.results.append((tool, outcome.result))
        result = fence(outcome.result, outcome.untrusted, self.work.mark)
        self.read.append(unfence(result))
        return {"status": "ok", "result": result}


def _tool(offered: Tool) -> ModelTool[Session]:
    """Hands a tool to the model and its calls to the gateway, which judges the arguments.

    A refusal or a failure is an ordinary result: raised as an error, it would make the model try again.
    """

    async def call(context: RunContext[Session], /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        outcome = await context.deps.attempt(offered.name, arguments, str(context.tool_call_id))
        if isinstance(outcome, Pending):
            raise CallDeferred
        return context.deps.shown(offered.name, arguments, outcome)

    # One at a time: an update needs the version that it read, and steps stay in order.
    tool = ModelTool[Session].from_schema(
        call, offered.name, offered.description, offered.schema, takes_ctx=True, sequential=True
    )
    # By itself it takes arguments that are no object, and the run would fail where the model can mend them.
    tool.function_schema.validator = _ANY_OBJECT
    return tool


async def run_agent(
    work: Work,
    step: str,
    prompt: Prompt,
    data: Mapping[str, Any],
    output: type[O],
    *,
    tools: Sequence[str] = (),
    route: str = "reason",
    bounds: Bounds = Bounds(),
    check: Callable[[O, Session], list[str]] | None = None,
    values: Mapping[str, Any] | None = None,
    read: Sequence[Any] = (),
    files: Sequence[Any] = (),
) -> tuple[O, Session]:
    """Let a model work on something until it gives a typed answer.

    Args:
        work: The run's hands.
        step: The step's name.
        prompt: What the model is told.
        data: What it works on, as JSON data: outside text in it stands between the run's marks already.
        output: The form of its answer.
        tools: The tools that it may use, as far as the gateway offers them to this run.
        route: What kind of step it is, in the registry of models.
        bounds: How far it may go.
        check: Looks through an answer and says what is wrong with it; the model may then mend it.
        values: What the prompt's template names.
        read: What the model was shown in `data`, without marks, for `check`.
        files: Images and documents beside the data, as pydantic-ai takes them.

    Raises:
        Exhausted: If it reached a bound or gave no usable answer.
        TryLater: If neither model nor gateway answers.
    """
    model = DurableModel(work, step, route, prompt)
    session = Session(work, step, prompt, model, await work.tools(tools) if tools else {}, read=list(read))
    agent = Agent(
        model,
        name=step,
        deps_type=Session,
        output_type=[output, DeferredToolRequests] if tools else output,
        toolsets=[FunctionToolset(list(map(_tool, session.tools.values())), id="remit")] if tools else [],
        instructions=prompt.render(work.mark, **(values or {})),
        retries=2,
        model_settings=ModelSettings(max_tokens=bounds.answer_tokens),
    )

    @agent.output_validator
    def fits(context: RunContext[Session], found: Any) -> Any:  # noqa: ANN401 - one of the output types
        if isinstance(found, DeferredToolRequests):
            return found
        # A model that copies marks along must not hand them out.
        plain = output.model_validate(unfence(found.model_dump()))
        if check and (wrong := check(plain, context.deps)):
            raise ModelRetry("; ".join(wrong))
        return plain

    usage = RunUsage()
    limits = UsageLimits(
        request_limit=bounds.requests, tool_calls_limit=bounds.tool_calls, total_tokens_limit=bounds.tokens
    )
    asked: Any = [f"DATA\n{json.dumps(data, ensure_ascii=False)}", *files]
    history: list[ModelMessage] | None = None
    results: DeferredToolResults | None = None
    while True:
        try:
            done = await agent.run(
                asked,
                deps=session,
                message_history=history,
                deferred_tool_results=results,
                usage=usage,
                usage_limits=limits,
                timeout=bounds.seconds,
            )
        except AgentRunError as error:
            raise Exhausted(" ".join(str(error).split())[:300]) from None
        if not isinstance(done.output, DeferredToolRequests):
            return done.output, session
        asked, history, results = None, done.all_messages(), await _answered(session, done.output)


async def _answered(session: Session, asked: DeferredToolRequests) -> DeferredToolResults:
    """The outcomes of calls that waited for a person; waits if there is one that is not answered yet."""
    results, waiting = DeferredToolResults(), list[Parked]()
    for call in asked.calls:
        outcome = await session.attempt(call.tool_name, call.args_as_dict(), call.tool_call_id)
        if isinstance(outcome, Pending):
            waiting.append(session.work.parked(outcome))
        else:
            results.calls[call.tool_call_id] = session.shown(call.tool_name, call.args_as_dict(), outcome)
    if waiting:
        raise any_of(waiting)
    return results


async def think(
    work: Work,
    step: str,
    prompt: Prompt,
    data: Mapping[str, Any],
    output: type[O],
    *,
    route: str = "classify",
    values: Mapping[str, Any] | None = None,
    files: Sequence[Any] = (),
) -> O:
    """Ask a model one question with a typed answer, without tools. See `run_agent`."""
    bounds = Bounds(requests=3, tool_calls=1)
    found, _ = await run_agent(work, step, prompt, data, output, route=route, bounds=bounds, values=values, files=files)
    return found
