"""Who should hear of a question by now, and what they are told: never what the call would do with whose data."""

from dataclasses import dataclass
from datetime import datetime

from connectors.contract import Tool
from gateway.approvals import Approval
from gateway.approvals.answering import obstacle
from gateway.policy.judge import Policy
from gateway.principal import Principal


@dataclass(frozen=True)
class Notice:
    """One message about one question.

    Args:
        id: Names it: the same notice sent twice has the same id.
        approval: The question.
        tenant: Whose it is.
        people: To whom, without prefix.
        tool: The tool's name.
        title: The tool's title.
        asked_by: Who asks.
        reason: Why, in the words of policy.
        expires_at: Until when it can be answered.
        url: Where it is answered; empty where no console is served.
    """

    id: str
    approval: str
    tenant: str
    people: tuple[str, ...]
    tool: str
    title: str
    asked_by: str
    reason: str
    expires_at: datetime
    url: str

    @property
    def subject(self) -> str:
        """One line."""
        return f"Approval wanted by {self.expires_at:%d %b %H:%M} UTC: {self.title}"

    @property
    def text(self) -> str:
        """The same as a mail says it."""
        where = f"Look at it and answer: {self.url}" if self.url else f"remit approvals show {self.approval}"
        return (
            f"{self.asked_by} wants to use `{self.tool}` ({self.title}).\n\n"
            f"Why you are asked: {self.reason}\n"
            f"Open until: {self.expires_at:%Y-%m-%d %H:%M} UTC; then it counts as refused.\n\n"
            f"{where}\n\n"
            "What exactly would be done is shown there, after you sign in. Do not answer from this mail.\n"
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


def notice_of(approval: Approval, people: tuple[str, ...], tool: Tool, url: str) -> Notice:
    """What people are told about a question.

    Args:
        approval: The question.
        people: Who is told.
        tool: Its tool.
        url: The page where it is answered; empty where there is none.
    """
    question = approval.question
    return Notice(
        id=f"{question.id}.{len(approval.notified)}",
        approval=question.id,
        tenant=question.principal.tenant,
        people=people,
        tool=question.tool,
        title=tool.title,
        asked_by=str(question.principal),
        reason=approval.ruling.reason,
        expires_at=question.expires_at,
        url=url,
    )
