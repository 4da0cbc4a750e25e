"""Speaks to providers of models: one request, and what came of it. Whatever goes wrong is one kind of failure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio
from pydantic_ai import exceptions
from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model as Speaker
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from orchestrator.models.asking import Ask
from orchestrator.models.register import Model

T = TypeVar("T")
GAP = 30.0
"""Seconds between two pieces of an answer that comes in pieces."""
_PASSING = (408, 409, 425, 429)


@dataclass
class Failed(Exception):
    """A model did not answer.

    Args:
        error: Why, without anything that the provider wrote.
        again: Whether to ask the same model again.
        after: Seconds that the provider wants one to wait before, if it said.
        answered: Whether it did answer, but not as it must: asked again under the same key, it would repeat that.
        begun: Whether some of an answer came: if nobody can tell what it took, it is taken for the most that it can.
        usage: What it took nevertheless, as far as the provider said.
    """

    error: str
    again: bool = True
    after: float | None = None
    answered: bool = False
    begun: bool = False
    usage: RequestUsage = field(default_factory=RequestUsage)


def speaker(model: Model, key: str) -> tuple[Any, Any]:
    """What speaks to a model, and its connections. It retries nothing by itself: each try is counted and paid.

    Returns:
        pydantic-ai's model, and the provider's client that it works with.
    """
    if model.provider == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        claude = AsyncAnthropic(api_key=key, base_url=model.endpoint, max_retries=0)
        return AnthropicModel(model.model, provider=AnthropicProvider(anthropic_client=claude)), claude
    from openai import AsyncOpenAI
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    # Servers of one's own often want no key, but the client insists on one.
    client = AsyncOpenAI(api_key=key or "none", base_url=model.endpoint, max_retries=0)
    kind = OpenAIEmbeddingModel if model.embedding else OpenAIChatModel
    return kind(model.model, provider=OpenAIProvider(openai_client=client)), client


async def answer(by: Speaker[Any], model: Model, ask: Ask, settings: dict[str, Any], seconds: float) -> ModelResponse:
    """Ask a model once.

    Raises:
        Failed: If it does not answer in time, or not as it must.
    """
    usage, begun = RequestUsage(), False

    async def request() -> ModelResponse:
        nonlocal usage, begun
        paced = cast("ModelSettings", {**settings, "timeout": min(seconds, GAP) if model.stream else seconds})
        if not model.stream:
            return await by.request(ask.messages, paced, ask.parameters)
        async with by.request_stream(ask.messages, paced, ask.parameters) as stream:
            try:
                async for _ in stream:
                    begun = True
            finally:
                usage = stream.usage
            return stream.get()

    try:
        response = await _within(seconds, request)
    except Failed as failure:
        failure.usage, failure.begun = usage, begun or failure.answered
        raise
    try:
        ModelMessagesTypeAdapter.dump_json([response])
    except ValueError:  # half a letter: it could not be kept
        raise Failed("malformed answer", answered=True, usage=response.usage) from None
    try:
        for call in response.tool_calls:
            call.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        raise Failed("malformed tool arguments", answered=True, usage=response.usage) from None
    return response


async def vectors(
    by: EmbeddingModel, texts: list[str], headers: dict[str, str], seconds: float
) -> tuple[list[list[float]], RequestUsage]:
    """The vectors of texts, in their order.

    Raises:
        Failed: If the model does not give one for each in time.
    """
    found = await _within(seconds, lambda: by.embed(texts, input_type="document", settings={"extra_headers": headers}))
    if len(found.embeddings) != len(texts):
        raise Failed("malformed answer", answered=True, usage=found.usage)
    return [list(vector) for vector in found.embeddings], found.usage


async def _within(seconds: float, request: Callable[[], Awaitable[T]]) -> T:
    try:
        with anyio.fail_after(seconds):
            return await request()
    except exceptions.ModelHTTPError as error:
        again = error.status_code in _PASSING or error.status_code >= 500
        spent = isinstance(error, exceptions.ModelQuotaExceededError)
        raise Failed(f"status {error.status_code}", again and not spent, error.retry_after) from None
    except (TimeoutError, exceptions.ModelTimeoutError):
        raise Failed(f"no answer within {seconds:g} s") from None
    except exceptions.ModelConnectionError:
        raise Failed("the connection broke") from None
    except exceptions.ModelAPIError:
        raise Failed("an error of the provider") from None
    except (exceptions.AgentRunError, ValueError):
        raise Failed("malformed answer", answered=True) from None
