"""From where a value or a text that is to be written comes, as far as the run has seen it.

A value needs to be known as it is; behind a disguise it is only found to hold it against whoever wrote it. A text is
as bad as the worst of its parts: every link, address, telephone number and account in it, and every word.
"""

from dataclasses import dataclass
from functools import reduce
from operator import or_

from gateway.flow.copying import trace_words, worst
from gateway.flow.evidence import Standing, label_of
from gateway.flow.finding import Found, find, find_coded
from gateway.flow.labels import CLEAN, Label
from gateway.flow.plain import disguised, is_masked, unmasked
from gateway.flow.seen import Seen
from gateway.flow.values import ACTIVE, Given, Kind, host_of, readings
from gateway.policy.language.flow import Origin

_MOST_PLACES = 3
_TELLING_NUMBER = 5


@dataclass(frozen=True, slots=True)
class Trace:
    """From where a value comes.

    Args:
        origin: The best of where it stands.
        label: What is known about it, if it was seen.
        places: Up to three of where it stands, for the people who are asked.
    """

    origin: Origin
    label: Label = CLEAN
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextTrace:
    """From where a text comes.

    Args:
        origin: The worst of its parts, its values among them; `REQUEST` if it says nothing.
        values: The worst origin of the links, addresses, telephone numbers and accounts in it; None if it has none.
        copied_share: How many of its words were copied from what was seen, 0 to 1.
        label: What is known about what was copied, all of it together.
        places: Up to three places that it was copied from, the worst first.
    """

    origin: Origin
    values: Origin | None = None
    copied_share: float = 0.0
    label: Label = CLEAN
    places: tuple[str, ...] = ()


def trace_value(seen: Seen, value: Given, kind: Kind, namespace: str = "") -> Trace:
    """Trace a field's value.

    Args:
        seen: What the run has seen.
        value: As the field would hold it.
        kind: What the field declares; a name or a title is `TEXT`.
        namespace: For an identifier what it identifies.
    """
    known = [seen.known(meaning) for meaning in readings(value, kind, namespace)]
    traces = [_joined(parts) for parts in map(_whole, known) if parts]
    if kind is Kind.TEXT and not traces:
        text = trace_text(seen, str(value))
        return Trace(text.origin, text.label, text.places)
    if not traces:
        return _held_against(seen, str(value), kind, namespace) or Trace(Origin.NOWHERE)
    return min(traces, key=lambda trace: trace.origin.rank)


def trace_text(seen: Seen, text: str) -> TextTrace:
    """Trace a text: a subject, a body, a note.

    Args:
        seen: What the run has seen.
        text: All of it.
    """
    masked = is_masked(text)
    chunks, marked, words = seen.words.read(unmasked(text) if masked else text)
    found = list(find(chunks, marked))
    active = [each for each in found if each.is_active]
    values = [_trace_found(seen, each) for each in (*active, *find_coded(chunks, marked))]
    told = [known for each in found if _tells_something(each) for known in seen.known(each.forms) if known]
    copy = trace_words(seen, text, words)
    least = [Origin.NOWHERE] if masked or (text.strip() and not words and not values) else []
    worst_first = sorted((*values, *map(_trace, copy.standings)), key=lambda trace: -trace.origin.rank)
    return TextTrace(
        worst([*least, *(each.origin for each in values), *([copy.origin] if words else [])]),
        worst([*least, *(each.origin for each in values)]) if values else None,
        copy.share,
        reduce(or_, (each.label for each in (*values, *map(_trace, (*told, *copy.standings)))), copy.dropped),
        tuple(dict.fromkeys(place for trace in worst_first for place in trace.places))[:_MOST_PLACES],
    )


def _whole(parts: list[Standing | None]) -> list[Standing]:
    """What is known of all parts, nothing if one is not known."""
    known = [part for part in parts if part is not None]
    return known if len(known) == len(parts) else []


def _joined(parts: list[Standing]) -> Trace:
    places = dict.fromkeys(place for part in parts for place in part.places)
    return Trace(worst(part.origin for part in parts), reduce(or_, map(label_of, parts)), tuple(places)[:_MOST_PLACES])


def _trace(standing: Standing) -> Trace:
    return Trace(standing.origin, label_of(standing), standing.places)


def _trace_found(seen: Seen, found: Found) -> Trace:
    known = [_trace(standing) for standing in seen.known(found.forms) if standing is not None]
    if known:
        return min(known, key=lambda trace: trace.origin.rank)
    return _held_against(seen, found.forms[0].text, found.kind, "") or Trace(Origin.NOWHERE)


def _tells_something(found: Found) -> bool:
    """Whether a value that stands in two texts is likelier copied than met by chance."""
    if found.kind is Kind.DATE:
        return False
    return found.kind is Kind.IDENTIFIER or sum(map(str.isdigit, found.forms[0].text)) >= _TELLING_NUMBER


def _held_against(seen: Seen, text: str, kind: Kind, namespace: str) -> Trace | None:
    """What is known of a value that only an outsider has, disguised or as a link's host."""
    if kind not in ACTIVE and (kind is not Kind.IDENTIFIER or text.isdigit()):
        return None
    values = [part for each in disguised(text) for meaning in readings(each, kind, namespace) for part in meaning]
    if kind is Kind.URL:
        plain = (part for meaning in readings(text, kind) for part in meaning)
        values += dict.fromkeys(map(host_of, (*values, *plain)))
    if not values:
        return None
    known = [each for each in seen.known(values) if each is not None and each.origin is Origin.OUTSIDER]
    return _trace(reduce(or_, known)) if known else None
