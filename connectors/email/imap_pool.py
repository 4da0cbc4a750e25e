"""A mailbox's connections: a few, used again, each for one thing at a time, on threads that nobody else needs."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError
from pydantic import ValidationError

from connectors.email.imap_session import Session
from connectors.email.mail_server import short
from connectors.errors import ConnectorError, InDoubt, Unavailable

T = TypeVar("T")

MOST = 4
"""Connections of a mailbox; servers commonly allow a user 10 or more."""
_FRESH_SECONDS = 5
_KEPT_SECONDS = 120
_WORK_SECONDS = 20

# What reading an answer raises if it breaks off, comes too late or makes no sense.
_UNUSABLE = (IMAPClientAbortError, OSError, EOFError, ValueError, LookupError)


class _Lost(Exception):
    """A connection is of no use any more, in the middle of something."""


@dataclass
class _Idle:
    session: Session
    since: float


class Pool:
    """Connections that are logged in to one mailbox in the same way.

    Args:
        connect: Opens one; blocks.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._places = anyio.Semaphore(MOST)
        self._threads = anyio.CapacityLimiter(2 * MOST)  # twice, as a cancelled one may still be ending
        self._idle: list[_Idle] = []

    async def read(self, work: Callable[[Session], T]) -> T:
        """Do what changes nothing, once more if a connection that was kept turns out to be dead.

        Raises:
            LoginRefused: If the server does not take the login.
            Unavailable: If the server does not answer, or not as it should.
        """
        async with self._places:
            if kept := self._kept():
                with suppress(_Lost):
                    return await self._on(kept.session, work)
            try:
                return await self._on(await self._connected(), work)
            except _Lost as lost:
                raise Unavailable(str(lost)) from lost

    async def act(self, work: Callable[[Session], T]) -> T:
        """Do what changes the mailbox, on a connection that is known to stand.

        Raises:
            LoginRefused: If the server does not take the login; nothing was done.
            Unavailable: If the server refuses it or is not reached; nothing was done.
            InDoubt: If the connection is lost over it.
        """
        async with self._places:
            try:
                return await self._on(await self._standing(), work)
            except _Lost as lost:
                raise InDoubt(str(lost)) from lost

    async def _on(self, session: Session, work: Callable[[Session], T]) -> T:
        is_good = False
        try:
            result = await self._run(lambda: _started(session, work))
            is_good = True
        except ConnectorError:
            is_good = True
            raise
        except ValidationError:
            # A fault of our own.
            raise
        except _UNUSABLE as error:
            raise _Lost(f"the connection to the IMAP server was lost ({short(error)})") from error
        except IMAPClientError as error:
            raise Unavailable(f"the IMAP server refuses: {short(error)}", is_untrusted=True) from error
        finally:
            # What a thread that is left alone still does ends with its connection.
            self._idle.append(_Idle(session, time.monotonic())) if is_good else session.close()
        return result

    async def _standing(self) -> Session:
        kept = self._kept()
        if kept and time.monotonic() - kept.since >= _FRESH_SECONDS:
            try:
                await self._on(kept.session, lambda session: session.check())
                kept = self._idle.pop()
            except (_Lost, Unavailable):
                kept = None
        return kept.session if kept else await self._connected()

    def _kept(self) -> _Idle | None:
        while self._idle:
            idle = self._idle.pop()
            if time.monotonic() - idle.since < _KEPT_SECONDS:
                return idle
            idle.session.close()
        return None

    async def _connected(self) -> Session:
        opening: Future[Session] = Future()
        try:
            await self._run(lambda: opening.set_result(self._connect()))
        except BaseException as error:
            # It is closed as soon as it is there, now or when its thread is that far.
            opening.add_done_callback(lambda opened: opened.result().close())
            if isinstance(error, TimeoutError):
                raise Unavailable("the IMAP server did not let in in time") from error
            raise
        return opening.result()

    async def _run(self, work: Callable[[], T]) -> T:
        with anyio.fail_after(_WORK_SECONDS):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    def close(self) -> None:
        """Close the connections that nobody uses at the moment."""
        while self._idle:
            self._idle.pop().session.close()


def _started(session: Session, work: Callable[[Session], T]) -> T:
    session.start()
    return work(session)
