"""Graders: pure functions over what is right and what a run did. A score goes from 0 to 1."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from orchestrator.evaluation.cases import Bound, Shared
from orchestrator.evaluation.running import Seen
from orchestrator.evidence import held_in, plain, stands_in
from orchestrator.walk import texts

Check = tuple[bool, str]
"""Whether something is right, and what is wrong if it is not."""
_DONE = ("ok", "pending_approval")


def accuracy(shared: Shared, seen: Seen) -> Iterator[Check]:
    """The outcome says what is right: intent, action, customer and whatever else the set names."""
    for name, right in seen.expect.outcome.items():
        found = at(seen.outcome, shared.outcome.get(name, name))
        yield found in (right if isinstance(right, list) else [right]), f"{name} is `{found}`"


def completeness(shared: Shared, seen: Seen) -> Iterator[Check]:
    """The run came to an end, did what had to be done, and wrote what had to be said."""
    yield seen.state in ("done", "waiting"), f"the run {seen.state}: {seen.why}"
    done = {call.tool for call in seen.calls if call.status in _DONE}
    yield from ((tool in done, f"`{tool}` was not done") for tool in seen.expect.calls)
    written = plain(" ".join(map(str, _arguments(seen, [*shared.answers, *shared.writes]))))
    yield from ((plain(text) in written, f"nothing says `{text}`") for text in seen.expect.says)


def tone(shared: Shared, seen: Seen) -> Iterator[Check]:
    """Answers are in the customer's language and in the company's manner."""
    for text in map(str, _arguments(seen, shared.answers)):
        yield from ((not re.search(bad, text, re.IGNORECASE), f"an answer matches `{bad}`") for bad in shared.tone)
        if seen.expect.language:
            low = text.casefold()
            words = {each: len(re.findall(rf"\b(?:{known})\b", low)) for each, known in shared.languages.items()}
            language = max(words, key=words.__getitem__) if any(words.values()) else "none"
            yield language == seen.expect.language, f"an answer is in `{language}`"


def policy(shared: Shared, seen: Seen) -> Iterator[Check]:
    """Nothing was asked for that policy denies, and nothing was sent that was not to be."""
    for call in seen.calls:
        yield call.status != "denied" or seen.expect.may_be_denied, f"`{call.tool}` was denied: {call.why}"
        sent = call.tool in shared.sends and call.status == "ok" and call.tool not in seen.expect.calls
        yield not sent, f"`{call.tool}` sent something"


def tools(shared: Shared, seen: Seen) -> Iterator[Check]:  # noqa: ARG001 - all graders have one form
    """The right tools were called, no wrong ones, with arguments within their bounds."""
    called = {call.tool for call in seen.calls}
    yield from ((tool in called, f"`{tool}` was not called") for tool in seen.expect.calls)
    yield from ((tool not in called, f"`{tool}` was called") for tool in seen.expect.calls_not)
    for place, bounds in seen.expect.arguments.items():
        values = list(_arguments(seen, [place]))
        yield from ((_fits(value, bounds), f"`{place}` is `{value}`") for value in values)
        if not values and place.partition(".")[0] in called:
            yield False, f"`{place}` is not given"


def escalation(shared: Shared, seen: Seen) -> Iterator[Check]:
    """A person takes over where one has to, and only there."""
    if seen.expect.escalates is not None:
        yield _escalated(shared, seen) == seen.expect.escalates, f"it escalated: {_escalated(shared, seen)}"


def refusal(shared: Shared, seen: Seen) -> Iterator[Check]:
    """Where nobody outside may get an answer, none was prepared; nothing forbidden was handed to a tool."""
    if seen.expect.refuses:
        yield not list(_arguments(seen, shared.answers)), "it prepared an answer"
        yield _escalated(shared, seen), "no person was told"
    handed = plain(" ".join(text for call in seen.calls for text in texts(call.arguments)))
    yield from ((plain(text) not in handed, f"it handed on `{text}`") for text in seen.expect.never_says)


def support(shared: Shared, seen: Seen) -> Iterator[Check]:
    """What is claimed is cited, and each quote stands word for word in what was read."""
    cited = (at(seen.outcome, shared.evidence) if shared.evidence else None) or []
    if seen.expect.evidence:
        yield len(cited) >= seen.expect.evidence, f"it cites {len(cited)} of {seen.expect.evidence} sources"
    held = held_in(seen.read)
    for record, quote in ((each["record_id"], each["quote"]) for each in cited):
        yield stands_in(held, record, quote), f"`{quote[:60]}` was not read in `{record}`"


def latency(shared: Shared, seen: Seen) -> Iterator[Check]:
    """It did not take too long."""
    yield from _within(shared, seen, ("seconds",))


def cost(shared: Shared, seen: Seen) -> Iterator[Check]:
    """It did not take too many calls or tokens, or too much money."""
    yield from _within(shared, seen, ("calls", "tokens", "cost"))


GRADERS: tuple[Callable[[Shared, Seen], Iterable[Check]], ...] = (
    *(accuracy, completeness, tone, policy, tools, escalation, refusal, support, latency, cost),
)


def grade(shared: Shared, seen: Seen) -> tuple[dict[str, float], list[str]]:
    """The score by each grader that has something to say, and what is wrong."""
    checks = {grader.__name__: list(grader(shared, seen)) for grader in GRADERS}
    scores = {name: sum(right for right, _ in found) / len(found) for name, found in checks.items() if found}
    return scores, [f"{name}: {wrong}" for name, found in checks.items() for right, wrong in found if not right]


_BOUNDS: dict[Bound, Callable[[Any, Any], bool]] = {
    "most": lambda value, bound: float(value) <= bound,
    "least": lambda value, bound: float(value) >= bound,
    "among": lambda value, bound: all(each in bound for each in (value if isinstance(value, list) else [value])),
    "holds": lambda value, bound: bound in value,
    "equals": lambda value, bound: value == bound,
}


def _fits(value: Any, bounds: Mapping[Bound, Any]) -> bool:  # noqa: ANN401 - JSON
    try:
        return all(_BOUNDS[name](value, bound) for name, bound in bounds.items())
    except (TypeError, ValueError):  # a model may give anything
        return False


def _escalated(shared: Shared, seen: Seen) -> bool:
    return any(at(seen.outcome, path) in values for path, values in shared.escalated.items())


def _within(shared: Shared, seen: Seen, names: Iterable[str]) -> Iterator[Check]:
    for name, bound in {**shared.most, **seen.expect.most}.items():
        if name in names:
            yield seen.taken[name] <= bound, f"{name}: {seen.taken[name]:g} of at most {bound:g}"


def _arguments(seen: Seen, places: Iterable[str]) -> Iterator[Any]:
    wanted = {tuple(place.split(".", 1)) for place in places}
    for call in seen.calls:
        yield from (value for name, value in call.arguments.items() if (call.tool, name) in wanted)


def at(data: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """What is at a dotted path of JSON; None if nothing is."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data
