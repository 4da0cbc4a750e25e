"""Chooses the model: any OpenAI-compatible endpoint, Anthropic, or rules that stand in where there is no key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.models.asking import Account, Answered, Ask, ModelsUnavailable
from orchestrator.models.register import Model as Registered
from orchestrator.models.register import Register, Route

if TYPE_CHECKING:
    from pydantic_ai.models import Model

STAND_IN = "stand-in"
DEFAULT_OPENAI = "gpt-5.6-luna"
DEFAULT_ANTHROPIC = "claude-haiku-4-5"
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model not yet loaded. `label` is how the screen and the journal name it."""

    label: str
    build: Callable[[], "Model"]

    @property
    def note(self) -> str:
        """Who decides, in words for the screen."""
        if self.label != STAND_IN:
            return f"Decided by the model {self.label}."
        return (
            "Decided by the rule-based stand-in, not a model: set OPENAI_API_KEY, OPENAI_BASE_URL or ANTHROPIC_API_KEY."
        )


def choose_model(name: str, environment: Mapping[str, str]) -> ChosenModel:
    """Choose by name, or by the keys that are set.

    Args:
        name: `stand-in`, `openai:NAME`, `anthropic:NAME`, a plain NAME for whichever key is set, or "" to choose.
        environment: Where `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `ANTHROPIC_API_KEY` are looked up.

    Raises:
        ValueError: If the named model's key is missing or its provider is unknown.
    """
    openai_key, base_url = environment.get("OPENAI_API_KEY", ""), environment.get("OPENAI_BASE_URL", "")
    anthropic_key = environment.get("ANTHROPIC_API_KEY", "")
    provider, _, model = name.partition(":") if name.startswith(("openai:", "anthropic:")) else ("", "", name)
    if model == STAND_IN or not (name or openai_key or base_url or anthropic_key):
        return ChosenModel(STAND_IN, _stand_in)
    provider = provider or ("openai" if openai_key or base_url else "anthropic")
    if provider == "openai" and (openai_key or base_url):
        model = model or DEFAULT_OPENAI
        # Servers of one's own often want no key, but the client insists on one.
        return ChosenModel(f"openai:{model}", lambda: _openai(model, base_url, openai_key or "none"))
    if provider == "anthropic" and anthropic_key:
        model = model or DEFAULT_ANTHROPIC
        return ChosenModel(f"anthropic:{model}", lambda: _anthropic(model, anthropic_key))
    wanted = "OPENAI_API_KEY or OPENAI_BASE_URL" if provider == "openai" else "ANTHROPIC_API_KEY"
    raise ValueError(f"model `{name}` needs {wanted} in the environment")


def register_of(name: str, environment: Mapping[str, str]) -> Register:
    """A register of the one model that `choose_model` chooses, which every step asks; no prices and no budgets.

    Raises:
        ValueError: If the named model's key is missing or its provider is unknown.
    """
    provider, _, model = choose_model(name, environment).label.partition(":")
    key = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}.get(provider, "")
    endpoints = {"openai": environment.get("OPENAI_BASE_URL") or OPENAI, "anthropic": ANTHROPIC}
    chosen = Registered(
        provider=provider,
        model=model,
        endpoint=endpoints.get(provider, ""),
        key=key if environment.get(key) else "",
        free=True,
        context=128_000,
        region="not said",
        retention="not said",
        # What is restricted goes only where a register says that it may.
        may_see="confidential" if key else "restricted",
        quality="capable" if key else "small",
        vision=True,
    )
    label = f"{provider}:{model}" if model else provider
    return Register(models={label: chosen}, routes={"default": Route(models=[label])})


def _openai(model: str, base_url: str, key: str) -> "Model":
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=base_url or None, api_key=key))


def _anthropic(model: str, key: str) -> "Model":
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel(model, provider=AnthropicProvider(api_key=key))


def _stand_in() -> "Model":
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    from orchestrator.workflows.triage.stand_in import respond

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return respond("triage", messages, info.model_request_parameters)

    return FunctionModel(answer, model_name=STAND_IN)


class OneModel:
    """One model for every step; `Models` where there is no registry."""

    def __init__(self, chosen: ChosenModel) -> None:
        self._chosen = chosen
        self._model: Model | None = None

    async def ask(self, ask: Ask) -> Answered:
        """Ask it.

        Raises:
            ModelsUnavailable: If it does not answer.
        """
        from pydantic_ai.exceptions import ModelAPIError
        from pydantic_ai.settings import ModelSettings, merge_model_settings

        self._model = self._model or self._chosen.build()
        settings = merge_model_settings(ModelSettings(timeout=60.0), ask.settings)
        try:
            response = await self._model.request(ask.messages, settings, ask.parameters)
        except ModelAPIError as error:
            told = f"HTTP {getattr(error, 'status_code', '')}".strip()
            raise ModelsUnavailable(f"the model does not answer: `{self._chosen.label}`: {told}") from None
        used = response.usage
        account = Account(
            model=self._chosen.label,
            prompt=ask.prompt,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
        )
        return Answered(response, account)
