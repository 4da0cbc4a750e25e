"""How a tool is declared: once, as a method of an area's contract, with its facts beside it.

    class Crm(Protocol):
        @tool(title="Get a contact", effect=Effect.READ)
        async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
            '''Get one contact by its id.'''

The method's name is the tool's name, its docstring the description that a model reads, `args` the input model and the
return type the output model. What a single field means for policy and data flow (who wrote it, whether it sends data
out, whether it is personal) is a marker in the field's `Annotated` type; `fields.py` has the common ones.
A back end is any class with the same methods.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar, get_args, get_type_hints, runtime_checkable

from pydantic import BaseModel, ConfigDict

from connectors.asking import NOBODY, Asking, Passed

TOOL_NAME = re.compile(r"[a-z]+(_[a-z]+){2,}")
MAX_TOOL_NAME = 64


class Effect(StrEnum):
    """What a tool does to the world, from harmless to hardest to take back."""

    READ = "read"
    WRITE = "write"
    SEND = "send"
    DELETE = "delete"


class Idempotency(StrEnum):
    """What keeps an effect from happening twice."""

    NONE_NEEDED = "none_needed"
    """A read: repeating it changes nothing."""
    KEY = "key"
    """The back end stores the call's key with the effect and replays the first result."""
    VERSION = "version"
    """The record's expected version is part of the input: a second application conflicts."""
    AT_MOST_ONCE = "at_most_once"
    """The back end cannot tell: doubt goes to a person."""


class Sink(StrEnum):
    """An input field through which a value reaches the world: the field that an attacker wants to choose."""

    RECIPIENT = "recipient"
    URL = "url"
    AMOUNT = "amount"
    IDENTIFIER = "identifier"
    CONTENT = "content"


class Author(StrEnum):
    """Who could have written an output field's text. Unmarked text counts as `OUTSIDER`."""

    OUTSIDER = "outsider"
    CUSTOMER = "customer"
    """A customer whom the organisation knows and whose words are known to be theirs."""
    ORGANISATION = "organisation"
    SYSTEM = "system"


class Confidentiality(StrEnum):
    """Who may see an output field, from everybody to very few. Unmarked text of outsiders counts as `CUSTOMER`."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CUSTOMER = "customer"
    """A customer's own: for that customer and for colleagues."""
    SECRET = "secret"  # noqa: S105 - a level, no secret

    rank: int
    """0 for public to 3 for secret."""


for _rank, _level in enumerate(Confidentiality):
    _level.rank = _rank


class OnRecord(StrEnum):
    """Marks an output field as the organisation's record, whoever worded it: an address in its CRM is known."""

    KEPT = "kept"


class Owner(StrEnum):
    """Marks an output field that says whose record it is: a customer's address, domain or id."""

    KEY = "key"


@dataclass(frozen=True)
class WrittenBy:
    """Marks an output field by whose value the texts beside it have another author, such as `by_staff`.

    Args:
        authors: The author of the record's own texts for each value of the field; for another value nothing changes.
    """

    authors: tuple[tuple[object, Author], ...]


@dataclass(frozen=True)
class Namespace:
    """Marks an input or output field as an identifier of one kind of thing: `13` of a file is not `13` of an event.

    Args:
        name: The kind, such as `file`. Identifiers that carry their kind, such as `con_…`, need none.
    """

    name: str


class Privacy(StrEnum):
    """Marks a field as personal data."""

    PERSONAL = "personal"


class Input(BaseModel):
    """Base of every tool input: unknown fields are refused, nothing is coerced, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Output(BaseModel):
    """Base of every tool output and every record inside one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


async def no_progress(done: float, total: float | None, message: str) -> None:
    """The progress callback of a caller who does not listen."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a back end knows of the call beside its arguments: all from the gateway, nothing from the model.

    Args:
        tenant: Whose data this is; a back end must not look beyond it.
        actor: Who acts, as shown to people, such as `ana@larkspur.example` or `triage`.
        key: Idempotency key, 1 to 200 characters: the same key means the same effect, done once.
        now: The time of the call, with zone.
        readers: One set of group names per acting party (person, agent); a document is readable only if each set
            shares a group with the document's own.
        progress: Awaited with (done, total or None, message) by long work.
        asking: What the client that made the call can be asked in the course of it.
        person: The person behind the call, if there is one: whose own credential goes first where there are such.
    """

    tenant: str
    actor: str
    key: str
    now: datetime
    readers: tuple[frozenset[str], ...] = ()
    progress: Callable[[float, float | None, str], Awaitable[None]] = no_progress
    asking: Asking = NOBODY
    person: str | None = None


@dataclass(frozen=True)
class Tool:
    """One typed action as declared by an area's contract.

    `sinks` maps input paths to what they let out; `authors` output paths to who wrote them; `written_by` output paths
    to how their value changes that; `confidentiality` output paths to who may see them; `kept` lists the output paths
    that are the organisation's record, `owners` those that say whose it is; `namespaces` maps input and output paths
    to the kind of thing that they identify; `personal` lists the input and output paths that hold personal data. Paths
    are dotted, `[]` stands for every item of a list. `passes` says what its back end may ask of the client that made a
    call, `clearance` how confidential what the run has seen may be for answers to go there.
    """

    name: str
    area: str
    title: str
    description: str
    effect: Effect
    idempotency: Idempotency
    input: type[BaseModel]
    output: type[Output]
    sinks: dict[str, Sink] = field(default_factory=dict)
    authors: dict[str, Author] = field(default_factory=dict)
    written_by: dict[str, WrittenBy] = field(default_factory=dict)
    confidentiality: dict[str, Confidentiality] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    namespaces: dict[str, str] = field(default_factory=dict)
    personal_input: frozenset[str] = frozenset()
    personal_output: frozenset[str] = frozenset()
    passes: frozenset[Passed] = frozenset()
    clearance: Confidentiality = Confidentiality.PUBLIC


@runtime_checkable
class RemembersEffects(Protocol):
    """A back end that can say afterwards what became of a key. Whoever cannot has not got the method."""

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """Find what the effect under `call.key` gave, or see to it that it never happens.

        None is a promise: it did not happen, and what may still be under way fails with `Conflict` and changes nothing.
        A back end that cannot fence off what may still be under way makes no such promise, and raises `InDoubt`.

        Args:
            call: The call as it was made; `readers` and `progress` mean nothing here.
            tool: What it called.

        Raises:
            Unavailable: If the back end cannot say now.
            InDoubt: If there is no trace of it, and it may still happen or be seen.
        """
        ...


_F = TypeVar("_F", bound=Callable[..., Any])


def tool(*, title: str, effect: Effect, idempotency: Idempotency | None = None) -> Callable[[_F], _F]:
    """Declare a contract's method as a tool.

    Args:
        title: What a person reads in a client's list of tools.
        effect: What the tool does to the world.
        idempotency: How it is kept from happening twice; a read needs nothing, anything else defaults to `KEY`.
    """
    kept = idempotency or (Idempotency.NONE_NEEDED if effect is Effect.READ else Idempotency.KEY)

    def mark(method: _F) -> _F:
        method.__dict__["__tool__"] = (title, effect, kept)
        return method

    return mark


def tools_of(contract: type) -> tuple[Tool, ...]:
    """Read the tools that a contract declares, in the order of declaration.

    Raises:
        TypeError: If a declaration is incomplete: no docstring, a wrong signature or a name that is not
            `area_verb_object`.
    """
    return tuple(
        _read(name, method) for name, method in vars(contract).items() if "__tool__" in getattr(method, "__dict__", {})
    )


def _read(name: str, method: Callable[..., Any]) -> Tool:
    title, effect, idempotency = method.__dict__["__tool__"]
    hints = get_type_hints(method)
    takes, gives = hints.get("args"), hints.get("return")
    if not (TOOL_NAME.fullmatch(name) and len(name) <= MAX_TOOL_NAME):
        raise TypeError(f"tool name `{name}` is not area_verb_object in lower case, at most {MAX_TOOL_NAME} characters")
    if not (
        inspect.isclass(takes) and issubclass(takes, Input) and inspect.isclass(gives) and issubclass(gives, Output)
    ):
        raise TypeError(f"tool `{name}` must take `args: <an Input>` and return an Output")
    if not method.__doc__:
        raise TypeError(f"tool `{name}` has no docstring for the model to read")
    inputs, outputs = list(walk(takes)), list(walk(gives))
    return Tool(
        name=name,
        area=name.partition("_")[0],
        title=title,
        description=inspect.cleandoc(method.__doc__),
        effect=effect,
        idempotency=idempotency,
        input=takes,
        output=gives,
        sinks={f.path: mark for f in inputs for mark in f.marks if isinstance(mark, Sink)},
        authors={f.path: _author(f) for f in outputs if f.is_text},
        written_by={f.path: mark for f in outputs for mark in f.marks if isinstance(mark, WrittenBy)},
        confidentiality={f.path: mark for f in outputs for mark in f.marks if isinstance(mark, Confidentiality)},
        kept=frozenset(f.path for f in outputs if OnRecord.KEPT in f.marks),
        owners=frozenset(f.path for f in outputs if Owner.KEY in f.marks),
        namespaces={f.path: mark.name for f in (*inputs, *outputs) for mark in f.marks if isinstance(mark, Namespace)},
        personal_input=frozenset(f.path for f in inputs if Privacy.PERSONAL in f.marks),
        personal_output=frozenset(f.path for f in outputs if Privacy.PERSONAL in f.marks),
    )


@dataclass(frozen=True)
class LeafField:
    """One leaf of a model: its dotted path, the markers met on the way, and whether it is free text."""

    path: str
    marks: tuple[object, ...]
    is_text: bool


def _author(leaf: LeafField) -> Author:
    return next((mark for mark in leaf.marks if isinstance(mark, Author)), Author.OUTSIDER)


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[LeafField]:
    """Yield every leaf field of a model with its markers, going into lists and nested models."""
    for name, info in model.model_fields.items():
        yield from _walk_type(info.annotation, (*info.metadata,), f"{prefix}{name}")


def _walk_type(annotation: Any, marks: tuple[object, ...], path: str) -> Iterator[LeafField]:  # noqa: ANN401 - any annotation
    if hasattr(annotation, "__metadata__"):
        yield from _walk_type(annotation.__origin__, (*marks, *annotation.__metadata__), path)
    elif inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield from walk(annotation, f"{path}.")
    elif getattr(annotation, "__origin__", None) in (list, tuple):
        yield from _walk_type(get_args(annotation)[0], marks, f"{path}[]")
    elif optional := [arg for arg in get_args(annotation) if arg is not type(None) and not isinstance(arg, str)]:
        for arg in optional:
            yield from _walk_type(arg, marks, path)
    else:
        yield LeafField(path, marks, annotation is str)
