"""Workflows: a name, a version, a typed input, and one async function that a run goes through."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.durable.store import Begin
from orchestrator.invalid import in_words

if TYPE_CHECKING:
    from orchestrator.work import Work

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input
O = TypeVar("O", bound=BaseModel)  # noqa: E741 - the outcome


class UnknownWorkflow(ValueError):
    """There is no such workflow, or not this version of it."""


class BadInput(ValueError):
    """A workflow's input is not as it must be."""


@dataclass(frozen=True)
class Workflow:
    """A workflow as `workflow` makes it.

    Args:
        name: Its name.
        version: Rises when a run that was begun before could not go on with the new code.
        input: The model of its input; fields `team`, `customer` and `person` say on whose account a run is.
        do: The function.
        goes_on: Earlier versions whose runs the code can go on with.
        folder: Where its prompts and evaluation set are.
        acts: The steps that act, with the stage that each begins in.
    """

    name: str
    version: int
    input: type[BaseModel]
    do: "Callable[[Work, Any], Awaitable[BaseModel]]"
    goes_on: frozenset[int]
    folder: Path
    acts: Mapping[str, str]

    def begin(self, given: Mapping[str, Any], run_id: str = "", about: str = "") -> Begin:
        """What a run of it is begun with.

        Raises:
            BadInput: If the input is not as it must be; says what is wrong.
        """
        try:
            checked = self.input.model_validate(given)
        except ValidationError as error:
            raise BadInput(f"workflow `{self.name}`: {in_words(error)}") from None
        account = {name: str(getattr(checked, name, "") or "") for name in ("team", "customer", "person")}
        said = about or str(getattr(checked, "about", "") or "")
        return Begin(self.name, self.version, checked.model_dump_json(), said, **account, id=run_id)


def workflow(
    name: str, *, version: int, goes_on: tuple[int, ...] = (), acts: Mapping[str, str] | None = None
) -> "Callable[[Callable[[Work, I], Awaitable[O]]], Workflow]":
    """Make a workflow of an async function that takes its work and its input, a pydantic model.

    Args:
        name: Its name: small letters, digits and `_`.
        version: Raise it when a run that was begun before could not go on with the new code.
        goes_on: Earlier versions whose runs the code can go on with.
        acts: The steps that act, with the stage that each begins in: `recommend`, `draft`, `approve` or `act`.
    """

    def made(do: "Callable[[Work, I], Awaitable[O]]") -> Workflow:
        source = sys.modules[do.__module__]
        input_ = next(value for part, value in do.__annotations__.items() if part not in ("return", "work"))
        if isinstance(input_, str):
            input_ = vars(source)[input_]
        folder = Path(source.__file__ or "").parent
        return Workflow(name, version, input_, do, frozenset(goes_on), folder, dict(acts or {}))

    return made


class Workflows:
    """The workflows that a worker knows."""

    def __init__(self, known: list[Workflow]) -> None:
        self._known: dict[str, Workflow] = {}
        for each in known:
            if each.name in self._known:
                raise UnknownWorkflow(f"there are two workflows `{each.name}`")
            self._known[each.name] = each

    def __iter__(self) -> Iterator[Workflow]:
        return iter(self._known.values())

    def find(self, name: str, version: int | None = None) -> Workflow:
        """A workflow by name, fit for runs of a version.

        Raises:
            UnknownWorkflow: If there is none.
        """
        found = self._known.get(name)
        if found is None:
            raise UnknownWorkflow(f"there is no workflow `{name}`; there are {', '.join(sorted(self._known))}")
        if version not in (None, found.version) and version not in found.goes_on:
            raise UnknownWorkflow(f"workflow `{name}` is version {found.version} here, and the run's is {version}")
        return found


def shipped_and_own(folder: Path | None = None) -> Workflows:
    """The workflows that come with Remit, and those of a folder: each module or package with a workflow in it.

    Raises:
        UnknownWorkflow: If the folder has a workflow of a name that there is already, does not load or is not there.
    """
    from orchestrator import workflows

    modules = [
        importlib.import_module(f"{workflows.__name__}.{each.name}")
        for each in pkgutil.iter_modules(workflows.__path__)
    ]
    if folder and not folder.is_dir():
        raise UnknownWorkflow(f"there is no folder `{folder}` of workflows")
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]) if folder else []:
        name = path.parent.name if path.name == "__init__.py" else path.stem
        spec = importlib.util.spec_from_file_location(f"own_workflows_{name}", path)
        if spec and spec.loader:
            sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever wrote the file puts it right
                raise UnknownWorkflow(f"`{path}` does not load: {type(error).__name__}: {error}") from None
            modules.append(module)
    return Workflows([value for module in modules for value in vars(module).values() if isinstance(value, Workflow)])
