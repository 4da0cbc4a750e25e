"""`remit models`: the register of models, for whoever answers for where data goes."""

import os

from rich.console import Console
from rich.table import Table

from orchestrator.commands.opening import plainly
from orchestrator.models.register import Model, read_register
from orchestrator.settings import load_settings


def models() -> None:
    """Which models are used, where they process data, how long they keep it, what each may see and what it costs."""
    with plainly():
        register = read_register(load_settings().models)
    head = ("model", "provider", "region", "retention", "may see", "quality", "$ per M tokens", "for", "key")
    listed = Table(*head, box=None, pad_edge=False)
    for name, model in register.models.items():
        kind = "vectors" if model.embedding else "text, images" if model.vision else "text"
        key = "" if not model.key else model.key if os.environ.get(model.key) else f"{model.key} (not set)"
        where = f"{model.provider} {model.model}\n{model.endpoint}".strip()
        told = (name, where, model.region, model.retention, model.may_see, model.quality, _prices(model), kind, key)
        listed.add_row(*told)
    routes = Table("route", "models, in order", "kept for", box=None, pad_edge=False)
    for name, route in register.routes.items():
        routes.add_row(name, ", ".join(route.models), f"{route.cache_seconds} s" if route.cache_seconds else "")
    # Where it is no screen, lines are as long as they are.
    console = Console(width=None if Console().is_terminal else 400, markup=False, highlight=False)
    console.print(listed)
    console.print()
    console.print(routes)


def _prices(model: Model) -> str:
    if not (prices := model.prices):
        return "free"
    cached = "" if prices.cached_input is None else f", {prices.cached_input} cached"
    return f"{prices.input} in{cached}, {prices.output} out"
