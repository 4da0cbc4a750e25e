"""Grants: before a model sees anything of an item, its run is narrowed to what the workflow needs for it."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import urljoin

import httpx

from orchestrator.gateway_client import GatewayError

_SECONDS = 30.0
_MARGIN = timedelta(minutes=1)


@cache
def _tls() -> ssl.SSLContext:
    # To read the certificates of all authorities takes longer than a grant.
    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is granted.

    Args:
        request: The words that it was given as: a person's, or those of the workflow that a person started.
        tools: The tools that it needs; the rest is denied.
        limits: How often at most it calls a tool.
        targets: For a tool's argument the only values that it may have.
    """

    request: str
    tools: Sequence[str]
    limits: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant: its id in the gateway's journal, the token that calls send, and until when it is good."""

    id: str
    token: str = field(repr=False)
    expires_at: str = ""

    def is_over(self, now: datetime) -> bool:
        """Whether it is over, or so soon that a call might come too late."""
        return bool(self.expires_at) and datetime.fromisoformat(self.expires_at) - _MARGIN <= now


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where grants are issued, and the token with the right to it, which no model's connection has.

    Args:
        url: The gateway's MCP endpoint; its `/grants` lies beside it.
        token: From `remit token create --may-grant`, for the same caller as the connection's.
    """

    url: str
    token: str = field(repr=False)

    async def grant(self, task: Task) -> Grant:
        """Get a grant for a task.

        Raises:
            GatewayError: If there is none: then the task must not begin.
        """
        where = urljoin(self.url, "grants")
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, verify=_tls()) as http:
                answer = await http.post(where, json=asdict(task), headers=headers)
            told = answer.json()
            if answer.status_code == httpx.codes.CREATED:
                return Grant(str(told["id"]), str(told["token"]), str(told.get("expires_at", "")))
            why = str(told["error"]["message"])
        except httpx.HTTPError as error:
            raise GatewayError(f"no answer from `{where}`: {error}; is the gateway running?") from None
        except (ValueError, KeyError, TypeError):
            raise GatewayError(f"`{where}` does not answer as Remit does; is the URL right?") from None
        raise GatewayError(f"no grant for the task: {why}")
