"""Where a vendor's API is, and how it wants to be spoken to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


def no_words(_body: Any) -> str:  # noqa: ANN401 - JSON data
    """Where a vendor's errors say nothing that helps."""
    return ""


def no_quota(_headers: httpx.Headers) -> float:
    """Where a vendor tells of its limits by `Retry-After` alone."""
    return 0.0


@dataclass(frozen=True)
class Site:
    """Where a vendor's API is, and how it wants to be spoken to.

    Args:
        name: How messages call it, such as `Request Tracker`.
        url: What every path is below; no slash at the end.
        credential: The name under which `remit credentials set` keeps what it is shown.
        header: The header that shows it.
        before: What stands before a token there.
        personal: Whether a person's own credential goes before the tenant's.
        inside: Whether it may be at a private address.
        ca: A file with the certificates to trust in place of the usual ones.
        hosts: Further hosts from which it has attachments fetched. The credential is not shown there.
        request_ids: Headers of its answers that name the request, for its support.
        explain: The words of an error out of its JSON body; empty for none.
        quota: For how many seconds an answer's headers say to send nothing.
    """

    name: str
    url: str
    credential: str
    header: str = "Authorization"
    before: str = "Bearer "
    personal: bool = False
    inside: bool = False
    ca: Path | None = None
    hosts: frozenset[str] = frozenset()
    request_ids: tuple[str, ...] = ()
    explain: Callable[[Any], str] = no_words
    quota: Callable[[httpx.Headers], float] = no_quota
