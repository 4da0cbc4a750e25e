"""Requests that are held until a person has answered: outside the slots of calls, so many at most, with one poller."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import anyio
from structlog import get_logger

from gateway.approvals import Approval, State

log = get_logger("remit.held")


class NoPlace(Exception):
    """As many requests are held as may be."""


@dataclass(frozen=True, eq=False)
class _Held:
    tenant: str
    approval_id: str
    told: anyio.Event = field(default_factory=anyio.Event)


class HeldRequests:
    """The requests that wait for what an approver says.

    Only the record says what that was: whoever is let go makes the call again and is told by it.

    Args:
        find: Reads a tenant's question off the record by its id.
        now: The clock.
        places: How many requests may be held at the same time.
        poll: Seconds between looks at the record, for answers that another process took.
    """

    def __init__(
        self,
        find: Callable[[str, str], Awaitable[Approval | None]],
        now: Callable[[], datetime],
        places: int,
        poll: float,
    ) -> None:
        self._find = find
        self._now = now
        self.places = places
        self._poll = poll
        self._held: set[_Held] = set()
        self._first = anyio.Event()
        self.is_let_go = False
        """Whether nobody is held any more, whatever a question's end: they are told that they wait."""

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def place(self, tenant: str, approval_id: str) -> Iterator[anyio.Event]:
        """Hold a place; gives the event that tells that the question was decided or the caller is asked back.

        Raises:
            NoPlace: If there is none.
        """
        if self.is_let_go or len(self._held) >= self.places:
            raise NoPlace
        held = _Held(tenant, approval_id)
        self._held.add(held)
        if len(self._held) == 1:
            self._first.set()
        try:
            yield held.told
        finally:
            self._held.discard(held)

    def heard(self, approval: Approval) -> None:
        """Let go who waits for this question, if there is something to tell: it has changed in this process."""
        if approval.state(self._now()) is State.PENDING and not approval.unanswered_remark:
            return
        for held in self._held:
            if held.approval_id == approval.question.id:
                held.told.set()

    def let_go(self) -> None:
        """Let all go who wait, and hold nobody any more: the process is about to end."""
        self.is_let_go = True
        for held in self._held:
            held.told.set()

    async def watch(self) -> None:
        """Look at the record for all who wait. Runs until cancelled."""
        while True:
            with anyio.move_on_after(self._poll if self._held else None):
                await self._first.wait()
            self._first = anyio.Event()
            for tenant, approval_id in {(held.tenant, held.approval_id) for held in self._held}:
                await self._look(tenant, approval_id)

    async def _look(self, tenant: str, approval_id: str) -> None:
        try:
            approval = await self._find(tenant, approval_id)
        except Exception:
            # What cannot be read now can be read later: until then the question counts as open.
            log.exception("held_question_not_read", approval=approval_id)
        else:
            if approval:
                self.heard(approval)


@dataclass(frozen=True)
class Patience:
    """How long and where requests wait for a person.

    Args:
        console_url: The base of the console's pages; empty if there is none.
        seconds: How long a request is held at most.
        held: Where.
        state_key: 32 secret bytes or more that every process shares which may serve a retry.
        state_ttl: Seconds after which a client's retry is no longer understood.
        answer_seconds: How long a client has to answer what an upstream server asks it.
    """

    console_url: str
    seconds: float
    held: HeldRequests
    state_key: bytes
    state_ttl: float
    answer_seconds: float
