"""The data flow into a call if one thing about it were different: another origin, a run that has seen less, a grant."""

from collections.abc import Iterator
from dataclasses import replace

from connectors.contract import Confidentiality
from gateway.policy.language.expression import FlowFact
from gateway.policy.language.flow import Flow, Integrity, Origin


def other_flows(flow: Flow, fact: FlowFact) -> Iterator[Flow]:
    """The flows in which what is asked has another answer, the best ones first. Numbers are left as they are."""
    if fact.argument is not None:
        yield from _about_argument(flow, fact.name, fact.argument)
        return
    match fact.name:
        case "saw_untrusted" | "integrity":
            yield from (replace(flow, integrity=each) for each in Integrity)
        case "saw_private" | "confidentiality":
            yield from (replace(flow, seen=each) for each in Confidentiality)
        case "has_grant":
            yield replace(flow, has_grant=not flow.has_grant)
        case "is_intended":
            yield replace(flow, is_intended=not flow.is_intended)


def _about_argument(flow: Flow, name: str, argument: str) -> Iterator[Flow]:
    match name:
        case "origin":
            yield from (replace(flow, origins={**flow.origins, argument: each}) for each in Origin)
        case "confidentiality":
            told = flow.confidentiality
            yield from (replace(flow, confidentiality={**told, argument: each}) for each in Confidentiality)
        case "audience":
            heard = flow.audience
            yield from (replace(flow, audience={**heard, argument: each}) for each in reversed(Confidentiality))
        case "first_time":
            yield from (replace(flow, first_time={**flow.first_time, argument: each}) for each in (False, True))
