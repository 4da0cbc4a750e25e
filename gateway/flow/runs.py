"""The runs of all principals: each caught up with what any process recorded before a call is traced."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
import anyio.to_thread

from connectors.contract import Confidentiality
from gateway.flow.evidence import Source
from gateway.flow.labels import Label
from gateway.flow.ledger import Ledger, Scope, Sighting
from gateway.flow.run import Run
from gateway.flow.seen import Seen
from gateway.flow.unfinished import Writing
from gateway.grants.grant import Grant
from gateway.policy.language.flow import Origin
from gateway.principal import Principal

_REQUEST = "the request"
_MOST_RUNS = 200
_LONG = 200_000
"""From how many bytes on what was seen is taken in beside the event loop."""
_SKEW = timedelta(seconds=5)
"""How far the clocks of gateways may lie apart: what was seen without a grant must not fall behind its beginning."""


@dataclass
class _Kept:
    run: Run
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class Runs:
    """What each run has seen, as far as this process remembers; the ledger has all of it.

    Args:
        ledger: Where it is kept.
        writing: Which writes have not ended.
        key: The secret of fingerprints, 16 to 64 bytes.
        window: How far a run without a grant reaches back.
        most: How many fingerprints of values and words are remembered, of all runs together.
    """

    def __init__(self, ledger: Ledger, writing: Writing, key: bytes, window: timedelta, most: int) -> None:
        self.ledger, self.writing, self.key = ledger, writing, key
        self._window, self._most = window, most
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()

    @asynccontextmanager
    async def of(
        self, principal: Principal, grant: Grant | None, now: datetime, records: Sequence[str] = ()
    ) -> AsyncIterator[tuple[Run, Mapping[str, Label]]]:
        """What the run of a call has seen up to now, and what is known of some records.

        Nobody else looks at the run or adds to it meanwhile.

        With a grant that is what its run saw, and what the principal saw without any since the grant was issued;
        without one, all that the principal saw within the window: who leaves a grant out loses no taint.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        since = grant.issued_at - _SKEW if grant else now - self._window
        scope = Scope(principal.tenant, principal.name, since, grant.run if grant else "")
        key = (scope.tenant, scope.principal, scope.run)
        kept = self._kept.get(key)
        if kept is None or (not grant and kept.run.oldest and kept.run.oldest < since - self._window / 8):
            kept = self._kept[key] = _Kept(self._new(grant))
        self._kept.move_to_end(key)
        async with kept.turn:
            new, labels = await self.ledger.known_before(scope, kept.run.position, records)
            if sum(len(each.sight.values) for each in new) > _LONG:
                await anyio.to_thread.run_sync(_take, kept.run, new)
            else:
                _take(kept.run, new)
            self._make_room()
            yield kept.run, labels

    def _make_room(self) -> None:
        """Forget the runs that were asked for longest ago; the ledger still has them."""
        size = sum(kept.run.seen.size for kept in self._kept.values())
        while len(self._kept) > _MOST_RUNS or (size > self._most and len(self._kept) > 1):
            _, kept = self._kept.popitem(last=False)
            size -= kept.run.seen.size

    def _new(self, grant: Grant | None) -> Run:
        run = Run(Seen(self.key))
        if grant:
            said = Source(Origin.REQUEST, Confidentiality.PUBLIC, frozenset(), _REQUEST)
            for words in (grant.request, *grant.values):
                run.seen.add_text(str(words), said)
        return run


def _take(run: Run, new: Sequence[Sighting]) -> None:
    for sighting in new:
        run.take(sighting)
