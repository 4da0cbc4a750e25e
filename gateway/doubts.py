"""Calls of which nobody knows whether they took effect: listed until a person says what happened."""

from datetime import datetime

from gateway.approvals import Question, may_answer
from gateway.approvals.answering import concerned
from gateway.earlier import Earlier, read_earlier
from gateway.journal import AlreadyRecorded, Entry, Journal, Kind
from gateway.journal.calls import RecordedCalls
from gateway.journal.uses import returned, uses_from
from gateway.policy.judge import Policy
from gateway.principal import Principal


class NotSettled(Exception):
    """This person cannot settle this call now; the message says why."""


class Doubts:
    """The doubts in the journal of one database.

    Args:
        journal: Where what people say is recorded.
        recorded: Reads what the journal knows.
    """

    def __init__(self, journal: Journal, recorded: RecordedCalls) -> None:
        self._journal = journal
        self._recorded = recorded

    async def open(self, tenant: str) -> list[Earlier]:
        """The tenant's calls in doubt, oldest first.

        Raises:
            JournalUnavailable: If they cannot be read.
        """
        doubts = await self._recorded.doubts(tenant)
        found = [read_earlier(await self._recorded.of(tenant, doubt.call_id)) for doubt in doubts]
        return [earlier for earlier in found if earlier]

    async def settle(
        self, call_id: str, who: Principal, policy: Policy, happened: bool, note: str, now: datetime
    ) -> None:
        """Record what a person found out; whoever repeats the call hears it from now on.

        Raises:
            NotSettled: If there is no such doubt in the person's tenant, or this person may not settle it.
            JournalUnavailable: If it cannot be recorded; then nothing is settled.
        """
        earlier = read_earlier(await self._recorded.of(who.tenant, call_id))
        try:
            await self._journal.append(settled(earlier, who, policy, happened, note, now))
        except AlreadyRecorded:
            raise NotSettled(f"`{call_id}` was settled at this moment; `remit journal why` tells how") from None


def settled(earlier: Earlier | None, who: Principal, policy: Policy, happened: bool, note: str, now: datetime) -> Entry:
    """The entry by which a person settles a doubt; the journal takes one end of a call only.

    Raises:
        NotSettled: Says why this person cannot settle it.
    """
    if earlier is None or earlier.begun is None or not earlier.doubted:
        raise NotSettled("there is no such call in doubt; `remit doubts list` shows them")
    if problem := _obstacle(earlier, earlier.begun, who, policy, note):
        raise NotSettled(f"{earlier.name}: {problem}")
    begun = earlier.begun
    body = {
        "tool": earlier.tool,
        "person": begun.body.get("person"),
        "agent": begun.body.get("agent"),
        "happened": happened,
        "status": "ok" if happened else "failed",
        "settled_by": who.person,
        "note": note.strip(),
        "policy_version": policy.version,
    }
    back = () if happened else returned(uses_from(begun.body.get("used", ())))
    once = f"outcome:{earlier.name}"
    return Entry(earlier.name, begun.tenant, begun.principal, now, Kind.SETTLED, body, once=once, uses=back)


def _obstacle(earlier: Earlier, begun: Entry, who: Principal, policy: Policy, note: str) -> str:
    if earlier.end:
        return "it is settled already; `remit journal why` tells how"
    if who.agent is not None or who.person is None:
        return "only a person settles a doubt, not through an agent"
    question = _question(earlier, begun)
    if problem := concerned(question.principal, who.person, policy):
        return problem
    if not may_answer(policy, who, question):
        return f"{who.person} may not answer for `{earlier.tool}`; approvers.csv says who may"
    return "" if note.strip() else "a note has to say how it was found out"


def _question(earlier: Earlier, begun: Entry) -> Question:
    """The doubt in the form in which policy says who answers."""
    asker = Principal(begun.tenant, begun.body.get("person"), begun.body.get("agent"))
    return Question(earlier.name, asker, earlier.tool, "", earlier.arguments, begun.at, begun.at)
