"""The runs of all principals: each caught up with what any process recorded before a call is traced."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio

from connectors.contract import Confidentiality
from gateway.flow.evidence import Source
from gateway.flow.ledger import Ledger, Scope
from gateway.flow.run import Run
from gateway.flow.seen import Seen
from gateway.grants.grant import Grant
from gateway.policy.language.flow import Origin
from gateway.principal import Principal

_REQUEST = "the request"


@dataclass
class _Kept:
    run: Run
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class Runs:
    """What each run has seen, as far as this process remembers; the ledger has all of it.

    Args:
        ledger: Where it is kept.
        key: The secret of fingerprints, 16 to 64 bytes.
        window: How far a run without a grant reaches back.
        most: How many runs are remembered.
    """

    def __init__(self, ledger: Ledger, key: bytes, window: timedelta, most: int) -> None:
        self.ledger, self.key = ledger, key
        self._window, self._most = window, most
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()

    async def of(self, principal: Principal, grant: Grant | None, now: datetime) -> Run:
        """What the run of a call has seen up to now.

        With a grant that is what its run saw, and what the principal saw without any since the grant was issued;
        without one, all that the principal saw within the window: who leaves a grant out loses no taint.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        since = grant.issued_at if grant else now - self._window
        scope = Scope(principal.tenant, principal.name, since, grant.run if grant else "")
        key = (scope.tenant, scope.principal, scope.run)
        kept = self._kept.get(key)
        if kept is None or (not grant and kept.run.oldest and kept.run.oldest < since - self._window / 8):
            kept = self._kept[key] = _Kept(self._new(grant))
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        async with kept.turn:
            for seen in await self.ledger.seen_after(scope, kept.run.position):
                kept.run.take(seen)
        return kept.run

    def _new(self, grant: Grant | None) -> Run:
        run = Run(Seen(self.key))
        if grant:
            said = Source(Origin.REQUEST, Confidentiality.PUBLIC, frozenset(), _REQUEST)
            for words in (grant.request, *grant.values):
                run.seen.add_text(str(words), said)
        return run
