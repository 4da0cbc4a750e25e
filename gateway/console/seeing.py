"""Who may see what in the console: by policy, within the person's own tenant."""

from collections.abc import Iterable

from gateway.approvals import Approval, may_answer
from gateway.journal import Entry
from gateway.policy.files.approvers import View
from gateway.policy.judge import Policy
from gateway.principal import Principal


def may_view(policy: Policy, person: Principal, view: View) -> bool:
    """Say whether a line of `approvers.csv` lets the person look at something."""
    [roles] = policy.groups(person)
    return any(
        line.role.removeprefix("role:") in roles and line.sees(view, person.tenant) for line in policy.approving.viewers
    )


def may_stop(policy: Policy, person: Principal) -> bool:
    """Say whether a line of `approvers.csv` lets the person stop and resume things in their tenant."""
    [roles] = policy.groups(person)
    return any(
        line.role.removeprefix("role:") in roles and line.stops_in(person.tenant) for line in policy.approving.stoppers
    )


def may_see_question(policy: Policy, person: Principal, approval: Approval) -> bool:
    """Say whether the person may see a question: theirs to answer, their own, or any as a viewer of the journal."""
    question = approval.question
    if question.principal.tenant != person.tenant:
        return False
    return (
        question.principal.person == person.person
        or may_answer(policy, person, question)
        or any(to == person.person for to, _ in approval.delegates)
        or may_view(policy, person, View.JOURNAL)
    )


def may_see_call(policy: Policy, person: Principal, entries: Iterable[Entry], approvals: Iterable[Approval]) -> bool:
    """Say whether the person may see a call: their own, one with a question that they may see, or any as a viewer.

    Args:
        policy: The policy in force.
        person: Who looks.
        entries: The call's entries.
        approvals: The questions that belong to it.
    """
    found = list(entries)
    if not found or any(entry.tenant != person.tenant for entry in found):
        return False
    return (
        any(entry.body.get("person") == person.person for entry in found)
        or any(may_see_question(policy, person, approval) for approval in approvals)
        or may_view(policy, person, View.JOURNAL)
    )
