"""The ways in which a notice goes out. Each may be tried again with the same notice: it then arrives once."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx
import stamina
from pydantic import ValidationError

from connectors.contract import CallContext
from connectors.email.tools import Email, SendEmail
from connectors.errors import ConnectorError
from gateway.notices.notice import Asked, Notice

_SECONDS = 10.0
_TRIES = 3


class NotDelivered(Exception):
    """A notice could not be handed over; says why, without secrets."""


class Channel(Protocol):
    """One way."""

    @property
    def name(self) -> str:
        """What the journal calls it."""
        ...

    async def send(self, notice: Notice) -> None:
        """Hand a notice over.

        Raises:
            NotDelivered: Says why.
        """
        ...


@dataclass(frozen=True)
class Webhook:
    """Posts a notice as JSON, signed in the form of the Standard Webhooks specification (1.0.0, symmetric).

    The receiver checks `webhook-signature` over id, time and body, and knows a repetition by `webhook-id`.

    Args:
        client: The HTTP client; it follows no redirects.
        url: Where to.
        secret: The shared secret.
        now: The clock.
    """

    client: httpx.AsyncClient
    url: str
    secret: bytes
    now: Callable[[], datetime]
    name: str = "webhook"

    async def send(self, notice: Notice) -> None:
        """Post it; anything but a 2xx answer is tried again a few times."""
        body = json.dumps(
            {
                "type": "approval.asked",
                "timestamp": self.now().isoformat(),
                "data": {
                    **_told(notice.asked[0]),
                    "expires_at": notice.expires_at.isoformat(),
                    "tenant": notice.tenant,
                    "people": notice.people,
                    "asked_by": notice.asked_by,
                    "url": notice.url,
                    "calls": [_told(each) for each in notice.asked],
                },
            }
        ).encode()
        try:
            async for attempt in stamina.retry_context(on=httpx.HTTPError, attempts=_TRIES, timeout=_SECONDS * _TRIES):
                with attempt:
                    headers = {"content-type": "application/json", **self._signed(notice.id, body)}
                    answer = await self.client.post(self.url, content=body, headers=headers, timeout=_SECONDS)
                    answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise NotDelivered(f"the webhook answers {error.response.status_code}") from None
        except httpx.HTTPError as error:
            raise NotDelivered(f"the webhook does not answer: {type(error).__name__}") from None

    def _signed(self, id_: str, body: bytes) -> dict[str, str]:
        time = str(int(self.now().timestamp()))
        return {"webhook-id": id_, "webhook-timestamp": time, "webhook-signature": sign(self.secret, id_, time, body)}


def _told(asked: Asked) -> dict[str, str]:
    return {
        "approval": asked.approval,
        "tool": asked.tool,
        "title": asked.title,
        "reason": asked.reason,
        "expires_at": asked.expires_at.isoformat(),
    }


def sign(secret: bytes, id_: str, time: str, body: bytes) -> str:
    """The signature of a webhook: `v1,` and HMAC-SHA256 over `id.time.body` in base64.

    Args:
        secret: The shared secret.
        id_: The notice's id.
        time: When it is sent, in seconds since 1970.
        body: What is sent.
    """
    digest = hmac.digest(secret, f"{id_}.{time}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


@dataclass(frozen=True)
class Mail:
    """Mails each person who is named by an address, from one mailbox of the tenant's.

    Args:
        email: Gives a tenant's email back end.
        mailbox: From which mailbox.
        now: The clock.
    """

    email: Callable[[str], Email]
    mailbox: str
    now: Callable[[], datetime]
    name: str = "mail"

    async def send(self, notice: Notice) -> None:
        """Send one mail to each; the key lets a repetition do nothing."""
        for person in (person for person in notice.people if "@" in person):
            about = "\x1f".join(each.approval for each in notice.asked)
            key = hashlib.sha256(f"notice\x1f{about}\x1f{person}".encode()).hexdigest()
            context = CallContext(tenant=notice.tenant, actor="remit", key=key, now=self.now())
            try:
                message = SendEmail(mailbox=self.mailbox, to=[person], subject=notice.subject[:200], body=notice.text)
                await self.email(notice.tenant).email_send_message(context, message)
            except ConnectorError as error:
                raise NotDelivered(f"mail to {person}: {error.message}") from None
            except ValidationError:
                raise NotDelivered(f"mail to {person}: not an address") from None
