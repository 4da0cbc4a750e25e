"""The message that a call would send, made by the back end the way it makes what it sends, for whoever answers."""

from datetime import datetime

import anyio
from structlog import get_logger

from connectors.contract import CallContext, Effect, Tool
from connectors.email.tools import OutgoingMail, PreviewsMail, ReplyEmail, SendDraft, SendEmail
from connectors.errors import ConnectorError
from gateway.approvals import Approval
from gateway.approvals.answering import authority_of, concerned
from gateway.catalog import InvalidArguments, validate
from gateway.console.asked import Addressee, Letter, domain_of
from gateway.gateway import Gateway
from gateway.journal import AlreadyRecorded, Entry, Kind
from gateway.policy.judge import Policy
from gateway.principal import Principal

log = get_logger("remit.console")

_SECONDS = 5.0


async def mail_of(
    gateway: Gateway, policy: Policy, person: Principal, approval: Approval, tool: Tool, now: datetime
) -> Letter | None:
    """Show a mail as it would be sent to a person who may answer for it, and record that they were shown it.

    Args:
        gateway: What knows the back end and the journal.
        policy: The policy in force.
        person: Who looks.
        approval: The question.
        tool: Its tool.
        now: The time.

    Returns:
        The mail; None if the call sends none, the back end cannot show it, or the person may not answer.

    Raises:
        JournalUnavailable: If it cannot be recorded; then it is not shown.
    """
    back_end = gateway.back_ends.of(person.tenant, "email")
    sends_mail = tool.area == "email" and tool.effect is Effect.SEND
    if not isinstance(back_end, PreviewsMail) or not sends_mail or not _may_look(policy, person, approval, now):
        return None
    try:
        arguments = validate(tool, approval.arguments)
        assert isinstance(arguments, SendEmail | SendDraft | ReplyEmail)  # noqa: S101 - these tools send
        context = CallContext(person.tenant, person.person or "", f"preview of {approval.question.id}", now)
        with anyio.fail_after(_SECONDS):
            mail = await back_end.preview_mail(context, arguments)
    except (ConnectorError, InvalidArguments) as error:
        return _not_shown(str(error))
    except TimeoutError:
        return _not_shown("the mailbox does not answer now")
    await _record(gateway, person, approval, now)
    return _letter(mail)


def _may_look(policy: Policy, person: Principal, approval: Approval, now: datetime) -> bool:
    """Whether it is this person's to answer for: then no right to read the mailbox is asked for, so never their own."""
    if concerned(approval.question.principal, person.person or "", policy):
        return False
    return approval.is_open(now) and authority_of(approval, person, policy, now) is not None


def _letter(mail: OutgoingMail) -> Letter:
    inside = domain_of(mail.mailbox)
    addressees = [("to", address) for address in mail.to] + [("cc", address) for address in mail.cc]
    found = tuple(Addressee(role, address, domain_of(address) != inside) for role, address in addressees)
    return Letter(mail.mailbox, found, mail.subject, mail.body, mail.quoted)


def _not_shown(why: str) -> Letter:
    return Letter("", (), "", "", problem=why)


async def _record(gateway: Gateway, person: Principal, approval: Approval, now: datetime) -> None:
    question = approval.question
    body = {"tool": question.tool, "approver": person.person, "binding": approval.binding}
    who, once = question.principal, f"shown:{question.id}:{person.person}:{approval.binding}"
    entry = Entry(question.id, who.tenant, who.name, now, Kind.SHOWN, body, once=once)
    try:
        await gateway.journal.append(entry)
    except AlreadyRecorded:
        log.debug("shown_again", approval=question.id)
