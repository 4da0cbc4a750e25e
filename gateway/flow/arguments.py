"""Where a call's arguments come from, and what the call would write."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.contract import Confidentiality, Effect, Sink, Tool
from gateway.flow.audience import audience, is_own
from gateway.flow.evidence import POSITIVE
from gateway.flow.labels import CLEAN, Label
from gateway.flow.reading import record_name
from gateway.flow.run import Run, kind_of
from gateway.flow.tracing import trace_text, trace_value
from gateway.flow.values import Kind
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin

_KINDS = {Sink.URL: Kind.URL, Sink.AMOUNT: Kind.NUMBER, Sink.IDENTIFIER: Kind.IDENTIFIER}
_MOST_PLACES = 5


@dataclass(frozen=True, slots=True)
class Traced:
    """What is known of the flow into a call.

    Args:
        flow: What policy may ask about.
        written: The label of what the call writes, if it writes.
        places: For each traced argument where its values were seen.
        recipients: For each recipient argument whom it names.
    """

    flow: Flow
    written: Label = CLEAN
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recipients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def approved(self) -> "Traced":
        """The same once a person has read and approved the call: what it writes is the organisation's word."""
        return replace(self, written=replace(self.written, integrity=Integrity.ORGANISATION))

    def edited(self, changed: Collection[str]) -> "Traced":
        """The same after a person has put other values into some arguments: then they are a person's words."""
        return replace(self, flow=edited_flow(self.flow, changed))

    def told_places(self) -> dict[str, list[str]]:
        """Where values were seen, as JSON data."""
        return {name: list(places) for name, places in self.places.items() if places}

    def told(self) -> dict[str, Any]:
        """What the journal is told, as JSON data; nothing where nothing was traced."""
        if self.flow is UNTOUCHED:
            return {}
        return {"flow": self.flow.told(), "written": self.written.told(), "places": self.told_places()}


UNTRACED = Traced(UNTOUCHED)
"""Nothing was traced: no rule asks and nothing is written."""


def edited_flow(flow: Flow, changed: Collection[str]) -> Flow:
    """The flow into a call after a person has put other values into some arguments.

    Args:
        flow: The flow into the call as it was proposed.
        changed: The arguments that a person changed.
    """
    return replace(
        flow,
        origins={**flow.origins, **dict.fromkeys(changed, Origin.REQUEST)},
        confidentiality={**flow.confidentiality, **dict.fromkeys(changed, Confidentiality.PUBLIC)},
        audience={**flow.audience, **dict.fromkeys(changed, Confidentiality.CUSTOMER)},
    )


def changed_arguments(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """The arguments that are not what they were."""
    return frozenset(name for name, value in after.items() if value != before.get(name))


def trace(
    tool: Tool, arguments: Mapping[str, Any], run: Run, own_domains: Collection[object], hidden: Callable[[str], str]
) -> Traced:
    """Trace a call's sink arguments back to what its run has seen.

    Args:
        tool: The tool.
        arguments: Its validated input as Python values.
        run: What the run has seen, with the person's request if a grant tells it.
        own_domains: The organisation's own domains.
        hidden: The name under which an owner is kept with a record.
    """
    tracer = _Tracer(tool, run)
    for path, sink in tool.sinks.items():
        for value in _values(arguments, path):
            tracer.sink(path.partition("[]")[0].partition(".")[0], path, sink, value)
    recipients = {name: values for name, values in tracer.recipients.items() if values}
    label = run.label | tracer.told
    flow = Flow(
        origins=tracer.origins,
        confidentiality=tracer.confidentiality,
        audience={
            name: audience(values, label.owners, run.links, own_domains, hidden) for name, values in recipients.items()
        },
        integrity=run.label.integrity,
        seen=run.label.confidentiality,
        customers=run.customers(own_domains, hidden),
    )
    written = CLEAN if tool.effect is Effect.READ else _hidden(tracer.written(arguments), own_domains, hidden)
    places = {name: tuple(dict.fromkeys(found))[:_MOST_PLACES] for name, found in tracer.places.items()}
    return Traced(flow, written, places, {name: tuple(values) for name, values in tracer.recipients.items()})


def named_records(tool: Tool, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the records that a call's arguments name, as `record_names` gives them for results.

    Args:
        tool: The tool.
        arguments: Its validated input as Python values.
    """
    named = (
        record_name(tool, tool.namespaces.get(path, ""), value)
        for path in _identifiers(tool)
        for value in _values(arguments, path)
    )
    return tuple(dict.fromkeys(named))


def _hidden(label: Label, own_domains: Collection[object], hidden: Callable[[str], str]) -> Label:
    owners = frozenset(hidden(owner) for owner in label.owners if not is_own(owner, own_domains))
    return Label(label.integrity, label.confidentiality, owners)


class _Tracer:
    """Collects what is found out about one call's arguments."""

    def __init__(self, tool: Tool, run: Run) -> None:
        self.tool, self.run = tool, run
        self.origins: dict[str, Origin] = {}
        self.confidentiality: dict[str, Confidentiality] = {}
        self.recipients: dict[str, list[str]] = {}
        self.places: dict[str, list[str]] = {}
        self.told = CLEAN
        self._contents: dict[str, tuple[Label, Origin, tuple[str, ...]]] = {}

    def sink(self, name: str, path: str, sink: Sink, value: Any) -> None:  # noqa: ANN401 - an argument
        if sink is Sink.CONTENT:
            label, origin, places = self._content(str(value))
            self.told |= label
            level = max(label.confidentiality, self.confidentiality.get(name, label.confidentiality), key=_rank)
            self.confidentiality[name] = level
        else:
            kind = _KINDS.get(sink) or kind_of(value)
            found = trace_value(self.run.seen, value, kind, self.tool.namespaces.get(path, ""))
            origin, places = found.origin, found.places
            if sink is Sink.RECIPIENT:
                self.recipients.setdefault(name, []).append(str(value))
            elif sink is Sink.URL:
                self.recipients.setdefault(name, []).append("")  # whoever serves it reads along
        self.origins[name] = max(origin, self.origins.get(name, origin), key=_rank)
        self.places.setdefault(name, []).extend(places)

    def written(self, arguments: Mapping[str, Any]) -> Label:
        """The label of what these arguments leave behind in a record."""
        label, named = CLEAN, set(_named(self.tool, arguments))
        for text in _texts(arguments):
            # Nobody has to vouch for the mailbox that is written from: what names a thing tells no reader anything.
            label |= self.run.label if text in named else self._content(text)[0]
        for path in (path for path, sink in self.tool.sinks.items() if sink is Sink.AMOUNT):
            for value in _values(arguments, path):
                label |= self._amount(value)
        return label

    def _amount(self, value: Any) -> Label:  # noqa: ANN401 - an argument
        """The label of an amount, which would stand on record like any other from then on."""
        found = trace_value(self.run.seen, value, Kind.NUMBER)
        if found.origin in POSITIVE:
            return found.label
        label = found.label | self.run.label
        return label | Label(Integrity.ANYONE) if found.origin is Origin.OUTSIDER else label

    def _content(self, text: str) -> tuple[Label, Origin, tuple[str, ...]]:
        """The label and origin of a text. What the model worded itself may tell whatever the run has seen."""
        known = self._contents.get(text)
        if known is None:
            known = self._contents[text] = self._traced(text)
        return known

    def _traced(self, text: str) -> tuple[Label, Origin, tuple[str, ...]]:
        found = trace_text(self.run.seen, text)
        if found.origin in POSITIVE:
            return found.label, found.origin, found.places
        label = found.label | self.run.label
        # A link, address or account that nobody vouches for is as bad as an outsider's, made up or not.
        loose = found.values is not None and found.values not in POSITIVE
        if found.origin is Origin.OUTSIDER or loose:
            return label | Label(Integrity.ANYONE), Origin.OUTSIDER, found.places
        return label, found.origin, found.places


def _rank(level: Origin | Confidentiality) -> int:
    return level.rank


def _identifiers(tool: Tool) -> Iterator[str]:
    return (path for path, sink in tool.sinks.items() if sink is Sink.IDENTIFIER)


def _named(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[Any]:
    return (value for path in _identifiers(tool) for value in _values(arguments, path) if isinstance(value, str))


def _values(arguments: Any, path: str) -> Iterator[Any]:  # noqa: ANN401 - arguments
    name, _, rest = path.partition(".")
    inner = arguments.get(name.removesuffix("[]")) if isinstance(arguments, Mapping) else None
    for item in inner if name.endswith("[]") and isinstance(inner, (list, tuple)) else [inner]:
        if rest:
            yield from _values(item, rest)
        elif item is not None and item != "":
            yield item


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - arguments
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
