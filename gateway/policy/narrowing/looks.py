"""Ways to look at one argument of a call, or at who calls; conditions are made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

from gateway.policy.language.functions import domain, glob, lower
from gateway.policy.narrowing.sets import Set, Words

Path: TypeAlias = tuple[str, ...]
LookName: TypeAlias = Literal["absent", "value", "length", "domain", "lower", "like", "all", "items", "item domains"]
View: TypeAlias = Literal["itself", "lower", "domain"]

HOLDS: Final = Words(frozenset({True}))
FAILS: Final = HOLDS.opposite()
LEFT_OUT: Final = HOLDS
GIVEN: Final = FAILS


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Look:
    """One way to look. There is only one object for each, made by `look_at`, so that it is quickly found in a mapping.

    Args:
        path: The argument, or a path into a nested record.
        name: What is looked at. `absent`, `like` and `all` are true or false; `items` and `item domains` say what
            every single item of a list shows.
        view: For `like` and `all`: whether a text itself, its lower case or its domain is looked at.
        pieces: For `like`: the text is these, in this order, with anything between them.
        among: For `all`: every item of the list is one of these.
        presence: The look at whether the argument was left out; None when it cannot be.
    """

    path: Path
    name: LookName
    view: View = "itself"
    pieces: tuple[str, ...] = ()
    among: Words | None = None
    presence: "Look | None" = None


_LOOKS: WeakValueDictionary[object, Look] = WeakValueDictionary()
_LOCK = Lock()


def absent(path: Path) -> Look:
    """The look at whether an argument was left out."""
    return look_at(path, "absent")


def look_at(
    path: Path,
    name: LookName,
    *,
    view: View = "itself",
    pieces: tuple[str, ...] = (),
    among: Words | None = None,
    optional: bool = False,
) -> Look:
    """The look with these facts; `optional` says whether the argument may be left out."""
    presence = absent(path) if optional else None
    with _LOCK:
        key = (path, name, view, pieces, among, optional)
        if (found := _LOOKS.get(key)) is None:
            found = _LOOKS[key] = Look(path, name, view, pieces, among, presence)
    return found


def of_items(look: Look) -> Look:
    """The look at what every item of a list shows, for a look at all of them together."""
    name: LookName = "items" if look.view == "itself" else "item domains"
    return look_at(look.path, name, optional=look.presence is not None)


def shows(look: Look, value: object) -> object:
    """What a look sees of a value; None when there is nothing to see, such as no domain."""
    if look.name == "absent":
        return value is None
    try:
        match look.name:
            case "length":
                return len(value)  # type: ignore[arg-type] # a text or a list, as all below
            case "domain" | "item domains":
                return domain(value)  # type: ignore[arg-type]
            case "lower":
                return lower(value)  # type: ignore[arg-type]
            case "like":
                return glob(str(_VIEWS[look.view](value)), "*".join(look.pieces))
            case _:
                return value
    except (ValueError, TypeError, AttributeError):
        return None


def fits(look: Look, values: Set, value: object) -> bool:
    """Whether a value shows at a look something within its set."""
    seen = shows(look, value)
    if seen is None:
        return False
    return all(values.holds(each) for each in seen) if isinstance(seen, list) else values.holds(seen)


_VIEWS: Final[Mapping[str, Callable[..., object]]] = {"itself": str, "lower": lower, "domain": domain}
