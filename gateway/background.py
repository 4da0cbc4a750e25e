"""What a serving gateway does beside the calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import cast

import anyio
import anyio.to_thread
import httpx
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from connectors.contract import Tool
from connectors.email.tools import Email
from connectors.embedded.engine import reason
from gateway.backlog import Backlog
from gateway.database import Database
from gateway.elicitation import page_of
from gateway.erasing.keeping import EVERY_SECONDS, keep_to_policy
from gateway.gateway import Gateway
from gateway.journal import JournalUnavailable
from gateway.notices.channels import Channel, Mail, Webhook
from gateway.notices.telling import Notices
from gateway.policy.judge import Policy
from gateway.recovery import Recovery
from gateway.settings import Settings

log = get_logger("remit.background")

_HOUR = 3_600.0
_BACKLOG_SECONDS = 30.0


@asynccontextmanager
async def background(gateway: Gateway, settings: Settings) -> AsyncIterator[None]:
    """Keep the policy current, approvers told, no call without an outcome and nothing longer than policy lets it be.

    Until the block ends.
    """
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        tasks.start_soon(_keep_policy, gateway, settings.policy_poll)
        tasks.start_soon(_keep_upstreams, gateway, settings.policy_poll)
        tasks.start_soon(gateway.stops.watch)
        tasks.start_soon(Recovery(gateway).watch, settings.recovery_interval)
        tasks.start_soon(_keep_to_retention, gateway, settings, stack.enter_context(settings.open_database()))
        if settings.metrics_token:
            backlog = Backlog(gateway)
            gateway.metrics.registry.register(backlog)
            tasks.start_soon(backlog.watch, _BACKLOG_SECONDS)
        tasks.start_soon(_forget_grants, gateway)
        tasks.start_soon(_forget_what_was_seen, gateway, settings.seen_needed)
        tasks.start_soon(_forget_recipients, gateway, timedelta(seconds=settings.recipients_kept))
        tasks.start_soon(_forget_uses, gateway)
        if channels := await _channels(gateway, settings, stack):
            gather = timedelta(seconds=settings.notify_gather)
            notices = Notices(gateway, channels, partial(page_of, gateway.patience.console_url), gather)
            gateway.approvals.listeners.append(notices.hear)
            tasks.start_soon(notices.run)
        yield
        tasks.cancel_scope.cancel()


async def _keep_policy(gateway: Gateway, every: float) -> None:
    """Put a changed policy in force and decide open questions again under it."""
    async with anyio.create_task_group() as tasks:
        deciding = anyio.CancelScope()

        async def changed(policy: Policy) -> None:
            # Many open questions must not hold the next policy up.
            nonlocal deciding
            deciding.cancel()
            deciding = anyio.CancelScope()
            tasks.start_soon(_decide_again, gateway, policy, deciding)

        await gateway.policy.watch(every, changed)


async def _keep_upstreams(gateway: Gateway, every: float) -> None:
    """Keep sessions with upstream servers, and put what was accepted of them in force together with policy."""

    async def renew(tools: tuple[Tool, ...], in_force: Callable[[], None]) -> bool:
        def both() -> None:
            gateway.catalog.tools.replace(tools)
            in_force()

        return await gateway.policy.renew(tools, both)

    await gateway.upstreams.run(every, renew)


async def _decide_again(gateway: Gateway, policy: Policy, scope: anyio.CancelScope) -> None:
    with scope:
        try:
            changed = await gateway.approvals.decide_again(policy, gateway.now())
        except JournalUnavailable as error:
            # Whoever answers or repeats such a call has it decided again then.
            log.error("questions_not_decided_again", error=str(error))
        except Exception:
            log.exception("questions_not_decided_again")
        else:
            log.info("questions_decided_again", changed=changed)


async def _keep_to_retention(gateway: Gateway, settings: Settings, database: Database) -> None:
    await keep_to_policy(gateway.journal, database, lambda: gateway.policy.current, gateway.now, settings.still_needed)


async def _forget_grants(gateway: Gateway) -> None:
    """Forget what expired grants said, hour by hour."""
    while True:
        try:
            await gateway.grants.forget_expired(gateway.now())
        except JournalUnavailable as error:
            log.error("grants_not_forgotten", error=str(error))
        await anyio.sleep(_HOUR)


async def _forget_what_was_seen(gateway: Gateway, after: timedelta) -> None:
    """Forget what runs have seen once no call can belong to them any more."""
    while True:
        try:
            await anyio.to_thread.run_sync(gateway.runs.ledger.forget, gateway.now() - after)
            await anyio.to_thread.run_sync(gateway.runs.writing.forget)
        except SQLAlchemyError as error:
            log.error("seen_not_forgotten", error=reason(error))
        await anyio.sleep(_HOUR)


async def _forget_recipients(gateway: Gateway, after: timedelta) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(gateway.activity.recipients.forget_before, gateway.now() - after)
        except JournalUnavailable as error:
            log.error("recipients_not_forgotten", error=str(error))
        await anyio.sleep(EVERY_SECONDS)


async def _forget_uses(gateway: Gateway) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(gateway.uses.forget, gateway.now())
        except JournalUnavailable as error:
            log.error("limit_uses_not_forgotten", error=str(error))
        await anyio.sleep(_HOUR)


async def _channels(gateway: Gateway, settings: Settings, stack: AsyncExitStack) -> list[Channel]:
    channels: list[Channel] = []
    if settings.notify_mailbox:
        email = partial(gateway.back_ends.of, area="email")
        channels.append(Mail(cast("Callable[[str], Email]", email), settings.notify_mailbox, gateway.now))
    if settings.notify_webhook:
        client = await stack.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        secret = settings.notify_secret.get_secret_value().encode()
        channels.append(Webhook(client, settings.notify_webhook, secret, gateway.now))
    return channels
