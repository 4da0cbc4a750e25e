"""Chooses the model: any OpenAI-compatible endpoint, Anthropic, or rules that stand in where there is no key."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.models.register import Model, Register, Route

STAND_IN = "stand-in"
DEFAULT_OPENAI = "gpt-5.6-luna"
DEFAULT_ANTHROPIC = "claude-haiku-4-5"
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model by name. `label` is how the screen and the journal name it."""

    label: str

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
        return ChosenModel(STAND_IN)
    provider = provider or ("openai" if openai_key or base_url else "anthropic")
    if provider == "openai" and (openai_key or base_url):
        return ChosenModel(f"openai:{model or DEFAULT_OPENAI}")
    if provider == "anthropic" and anthropic_key:
        return ChosenModel(f"anthropic:{model or DEFAULT_ANTHROPIC}")
    wanted = "OPENAI_API_KEY or OPENAI_BASE_URL" if provider == "openai" else "ANTHROPIC_API_KEY"
    raise ValueError(f"model `{name}` needs {wanted} in the environment")


def register_of(name: str, environment: Mapping[str, str]) -> Register:
    """A register of the one model that `choose_model` chooses, which every step asks; no prices and no budgets.

    Raises:
        ValueError: If the named model's key is missing or its provider is unknown.
    """
    label = choose_model(name, environment).label
    provider, _, model = label.partition(":")
    key = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}.get(provider, "")
    endpoints = {"openai": environment.get("OPENAI_BASE_URL") or OPENAI, "anthropic": ANTHROPIC}
    chosen = Model(
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
    return Register(models={label: chosen}, routes={"default": Route(models=[label])})
