"""One call as a person is shown it who has to answer for it: everything of it, alone or among others of its task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.contract import Tool
from gateway.approvals import Approval, State
from gateway.approvals.answering import obstacle
from gateway.console.asked import Addressee, Argument, Declared, Letter, arguments_of, declared_in, domain_of, letter_of
from gateway.console.asked import external as external_in
from gateway.console.mail import mail_of
from gateway.console.record import Change, Record, changes, current_record
from gateway.console.visit import Visit
from gateway.effect_words import effect_sentence, warning


@dataclass(frozen=True)
class Shown:
    """One call.

    Args:
        approval: The question about it.
        tool: Its tool.
        state: Where the question stands.
        obstacle: Why this person cannot answer it now; empty when they can.
        sentence: What it would do.
        warning: What is to be said of such a call; empty if nothing.
        arguments: Every argument, with its origin.
        edits: What an approver changed of them.
        letter: The message that would go out, if one would.
        external: Recipients outside the organisation.
        record: What it acts on, as it is now.
        changes: What it would change of that.
        declared: What the caller declared, and what the task was given as.
    """

    approval: Approval
    tool: Tool
    state: State
    obstacle: str
    sentence: str
    warning: str
    arguments: tuple[Argument, ...]
    edits: tuple[Change, ...]
    letter: Letter | None
    external: tuple[Addressee, ...]
    record: Record
    changes: tuple[Change, ...]
    declared: Declared

    @property
    def deceits(self) -> tuple[tuple[str, str], ...]:
        """What deceives in the arguments: the argument's label, and what it is."""
        return tuple((each.label, deceit) for each in self.arguments for deceit in each.deceits)


async def shown(visit: Visit, approval: Approval, tool: Tool) -> Shown:
    """Put together what a person is shown of a call; that they were shown a mail is recorded.

    Raises:
        JournalUnavailable: If that cannot be recorded; then it is not shown.
    """
    gateway, question, arguments = visit.console.gateway, approval.question, approval.arguments
    record = await current_record(gateway, visit.person, tool, arguments)
    home = domain_of(visit.session.person)
    letter = letter_of(tool, arguments, record.values, home)
    if mail := await mail_of(gateway, visit.policy, visit.person, approval, tool, visit.now):
        letter = replace(letter or mail, problem=mail.problem) if mail.problem else mail
    return Shown(
        approval=approval,
        tool=tool,
        state=approval.state(visit.now),
        obstacle=obstacle(approval, visit.person, visit.policy, visit.now),
        sentence=effect_sentence(tool, arguments),
        warning=warning(tool),
        arguments=arguments_of(tool, arguments, question),
        edits=changes(_arguments_before(approval), tool, arguments) if approval.edit else (),
        letter=letter,
        external=external_in(tool, arguments, letter, home),
        record=record,
        changes=changes(record.values, tool, arguments),
        declared=declared_in(question),
    )


def _arguments_before(approval: Approval) -> Mapping[str, object]:
    """What the caller asked for, before anybody changed it."""
    return approval.question.arguments
