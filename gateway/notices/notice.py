"""Who should hear of a question by now, and what they are told: never what the call would do with whose data."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract import Tool
from gateway.approvals import Approval
from gateway.approvals.answering import obstacle
from gateway.policy.judge import Policy
from gateway.principal import Principal


@dataclass(frozen=True)
class Asked:
    """One call that somebody is asked about, in words of the gateway's and of policy's alone.

    Args:
        approval: The question.
        tool: The tool's name.
        title: The tool's title.
        reason: Why a person is asked, in the words of policy.
        expires_at: Until when it can be answered.
    """

    approval: str
    tool: str
    title: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True)
class Notice:
    """One message about what waits of one task.

    Args:
        id: Names it: the same notice sent twice has the same id.
        asked: The calls that it is about, at least one, oldest first.
        tenant: Whose they are.
        people: To whom, without prefix.
        asked_by: Who asks.
        url: Where they are answered; empty where no console is served.
    """

    id: str
    asked: tuple[Asked, ...]
    tenant: str
    people: tuple[str, ...]
    asked_by: str
    url: str

    @property
    def expires_at(self) -> datetime:
        """When the first of them expires."""
        return min(each.expires_at for each in self.asked)

    @property
    def subject(self) -> str:
        """One line."""
        [first, *others] = self.asked
        what = f"{len(self.asked)} calls of one task" if others else first.title
        return f"Approval wanted by {self.expires_at:%d %b %H:%M} UTC: {what}"

    @property
    def text(self) -> str:
        """The same as a mail says it."""
        called = " ".join(each.approval for each in self.asked)
        where = f"Look at it and answer: {self.url}" if self.url else f"remit approvals show {called}"
        calls = "\n".join(map(_line, self.asked))
        return (
            f"{self.asked_by} wants to use:\n\n"
            f"{calls}\n\n"
            f"{where}\n\n"
            "What exactly would be done is shown there, after you sign in. Do not answer from this mail.\n"
        )


def _line(asked: Asked) -> str:
    return (
        f"- `{asked.tool}` ({asked.title})\n"
        f"  Why you are asked: {asked.reason}\n"
        f"  Open until: {asked.expires_at:%Y-%m-%d %H:%M} UTC; then it counts as refused."
    )


def people_to_tell(approval: Approval, policy: Policy, now: datetime) -> tuple[str, ...]:
    """The people who could answer a question now and have not heard of it: more of them when time passes.

    Args:
        approval: The question.
        policy: The policy in force.
        now: The time.
    """
    tenant = approval.question.principal.tenant
    answering = {line.role for line in policy.approving.approvers}
    able = {
        party.removeprefix("person:")
        for (where, party), roles in policy.roles.items()
        if party.startswith("person:") and where in ("*", tenant) and roles & answering
    }
    able.update(to for to, _ in approval.delegates)
    return tuple(
        person
        for person in sorted(able - approval.notified)
        if not obstacle(approval, Principal(tenant, person=person), policy, now)
    )


def notice_of(
    approvals: Sequence[Approval], people: tuple[str, ...], tools: Mapping[str, Tool], link: Callable[[str], str]
) -> Notice:
    """What people are told about questions of one task.

    Args:
        approvals: The questions, oldest first.
        people: Who is told.
        tools: Every tool by name.
        link: The page of a question by its id; empty where there is none.
    """
    first = approvals[0].question
    page = link(first.id)
    return Notice(
        id=_id(approvals),
        asked=tuple(_asked(each, tools[each.question.tool]) for each in approvals),
        tenant=first.principal.tenant,
        people=people,
        asked_by=str(first.principal),
        url=f"{page}/together" if page and len(approvals) > 1 else page,
    )


def _asked(approval: Approval, tool: Tool) -> Asked:
    question = approval.question
    return Asked(question.id, question.tool, tool.title, approval.ruling.reason, question.expires_at)


def _id(approvals: Sequence[Approval]) -> str:
    """Another one as soon as it is about another question or somebody else was told of one."""
    first, *others = (f"{each.question.id}.{len(each.notified)}" for each in approvals)
    return f"{first}.{hashlib.sha256(' '.join(others).encode()).hexdigest()[:16]}" if others else first
