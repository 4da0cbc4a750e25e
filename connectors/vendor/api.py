"""Speaks HTTP and JSON with a vendor: for a bounded time, for a bounded answer, and with every failure told in one way.

`read` is for what may be repeated, `act` for an effect. They differ where nobody knows whether the vendor has acted:
after a read that is `Unavailable`, after an effect `InDoubt`. What surely was not done is `Unavailable` for both.
"""

import json as json_
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from connectors.contract import CallContext
from connectors.credentials import Access, Credentials
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.network import VendorTransport, trust_of
from connectors.vendor.pace import WAITED_FOR_SECONDS, Pace, retry_after
from connectors.vendor.site import Site

T = TypeVar("T")

_TIMES = httpx.Timeout(15.0, connect=5.0)
_LARGEST = 16 * 2**20
_LONGEST_WORDS = 300
_MOST_REDIRECTS = 3
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.LocalProtocolError)
_REFUSED = {401, 403}
_GONE = {404, 410}
_TAKEN = {409, 412}
_NOT_NOW = {429, 503}


def segment(value: str | int) -> str:
    """A value as one part of a path."""
    return quote(str(value), safe="")


@dataclass(frozen=True)
class Reply:
    """An answer that says that all went well.

    Args:
        status: Its status, from 200 to 299.
        headers: Its headers.
        body: Its JSON; None if there is none.
        doubt: What to raise where it turns out to be none that makes sense.
    """

    status: int
    headers: httpx.Headers
    body: Any
    doubt: ConnectorError

    def as_(self, kind: type[T]) -> T:
        """The body as what it ought to be.

        Args:
            kind: A model, or a list of one.

        Raises:
            Unavailable, InDoubt: If it is not; the one after a read, the other after an effect.
        """
        try:
            return TypeAdapter(kind).validate_python(self.body)
        except ValidationError:
            raise self.doubt from None


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    is_effect: bool
    missing: ConnectorError | None
    given: Mapping[str, Any]
    largest: int | None = None
    """How many bytes a file may have; None for what is no file."""


class Api:
    """One tenant's way to a vendor.

    Args:
        site: Where it is.
        credentials: Where what it is shown comes from.
    """

    def __init__(self, site: Site, credentials: Credentials) -> None:
        self.site = site
        self._credentials = credentials
        self._pace = Pace(site.name)
        self._http: httpx.AsyncClient | None = None

    async def read(
        self,
        call: CallContext,
        method: str,
        path: str,
        *,
        missing: ConnectorError | None = None,
        **given: Any,  # noqa: ANN401 - as httpx takes them
    ) -> Reply:
        """Ask for something; it may be asked again.

        Args:
            call: In whose name.
            method: Such as `GET`.
            path: Below the site's URL, parts that are values made by `segment`.
            missing: What to raise where there is no such thing.
            given: `params`, `json` or `headers`, as httpx takes them.

        Raises:
            ConnectorError: What came of it, if anything but an answer did.
        """
        return await self._answered(call, _Request(method, self._below(path), False, missing, given))

    async def act(
        self,
        call: CallContext,
        method: str,
        path: str,
        *,
        missing: ConnectorError | None = None,
        **given: Any,  # noqa: ANN401 - as httpx takes them
    ) -> Reply:
        """Have something done, once.

        Args:
            call: In whose name.
            method: Such as `POST`.
            path: Below the site's URL, parts that are values made by `segment`.
            missing: What to raise where there is no such thing.
            given: `params`, `json`, `content`, `files` or `headers`, as httpx takes them.

        Raises:
            InDoubt: If nobody knows whether it was done.
            ConnectorError: Another one if it surely was not.
        """
        return await self._answered(call, _Request(method, self._below(path), True, missing, given))

    async def download(
        self, call: CallContext, url: str, largest: int, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Fetch a file.

        Args:
            call: In whose name.
            url: Where it is: a path below the site's URL, or an address at the site or one of its further hosts.
            largest: How many bytes it may have.
            headers: Further headers of the request.

        Raises:
            InvalidInput: If it is larger.
            ConnectorError: If it cannot be had.
        """
        place = url if "://" in url else self._below(url)
        for _ in range(_MOST_REDIRECTS):
            request = _Request("GET", self._known(place), False, None, {"headers": headers}, largest)
            answer, body = await self._sent(call, request)
            if not answer.is_redirect:
                return body
            place = urljoin(place, answer.headers["location"])
        raise Unavailable(f"{self.site.name} sends a file's reader from one place to the next")

    async def close(self) -> None:
        """Close its connections."""
        if self._http:
            await self._http.aclose()

    def _below(self, path: str) -> str:
        return f"{self.site.url}{path}"

    def _known(self, url: str) -> str:
        """A file's address, if it is one where the vendor has files."""
        host, scheme = (urlsplit(url).hostname or ""), urlsplit(url).scheme
        if self._is_own(url) or (scheme == "https" and host in self.site.hosts):
            return url
        raise Unavailable(f"{self.site.name} has a file at `{host[:100]}`, which is none of its hosts")

    def _is_own(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.site.url)[:2]

    async def _answered(self, call: CallContext, request: _Request) -> Reply:
        answer, body = await self._sent(call, request)
        doubt = self._doubt(request, "answers what makes no sense", self._name_of(answer))
        if answer.is_redirect:
            raise doubt
        try:
            return Reply(answer.status_code, answer.headers, json_.loads(body) if body else None, doubt)
        except ValueError:
            raise doubt from None

    async def _sent(self, call: CallContext, request: _Request) -> tuple[httpx.Response, bytes]:
        """Send it with what is to be shown; once more with what is shown instead, or after a short pause."""
        access = await self._access(call)
        holder = call.tenant, access.person
        waited = renewed = False
        while True:
            await self._pace.wait(holder)
            answer, body = await self._exchanged(request, access)
            if seconds := self.site.quota(answer.headers):
                self._pace.pause(holder, seconds)
            if answer.is_success or answer.is_redirect:
                return answer, body
            if answer.status_code in _NOT_NOW and (pause := self._pause(answer)) is not None:
                self._pace.pause(holder, pause)
                if not waited and pause <= WAITED_FOR_SECONDS:
                    waited = True
                    continue
                raise self._not_now(answer, pause)
            if answer.status_code == 401 and not renewed and (other := await self._credentials.refused(access)):
                access, renewed = other, True
                continue
            raise self._failure(request, answer, body, access)

    async def _access(self, call: CallContext) -> Access:
        person = call.person if self.site.personal else None
        return await self._credentials.of(self.site.credential, call.tenant, person)

    async def _exchanged(self, request: _Request, access: Access) -> tuple[httpx.Response, bytes]:
        headers = dict(request.given.get("headers") or {}) | {"Accept": "application/json"}
        if self._is_own(request.url):
            headers[self.site.header] = access.header(self.site.before)
        given = {**request.given, "headers": headers}
        try:
            http = await self._client()
            async with http.stream(request.method, request.url, **given) as answer:
                return answer, await self._body(request, answer)
        except _NOT_SENT as error:
            raise Unavailable(f"{self.site.name} is not reached ({type(error).__name__}); nothing was done") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise self._doubt(request, f"did not answer ({type(error).__name__})") from None
        except OSError as error:
            raise Unavailable(f"{self.site.name} cannot be asked: {type(error).__name__}; nothing was done") from None

    async def _body(self, request: _Request, answer: httpx.Response) -> bytes:
        body, largest = bytearray(), request.largest or _LARGEST
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > largest and request.largest and answer.is_success:
                raise InvalidInput(f"the file has more than {largest} bytes; it cannot be read here")
            if len(body) > largest:
                raise self._doubt(request, f"answers with more than {largest} bytes", self._name_of(answer))
        return bytes(body)

    async def _client(self) -> httpx.AsyncClient:
        trust = await trust_of(self.site.ca)
        # Nobody else comes in between: there is one client, whoever is first.
        if self._http is None:
            transport = VendorTransport(trust, inside=self.site.inside)
            self._http = httpx.AsyncClient(transport=transport, timeout=_TIMES, follow_redirects=False, trust_env=False)
        return self._http

    def _pause(self, answer: httpx.Response) -> float | None:
        seconds = retry_after(answer.headers, datetime.now(UTC))
        return 1.0 if seconds is None and answer.status_code == 429 else seconds

    def _not_now(self, answer: httpx.Response, seconds: float) -> ConnectorError:
        named = self._name_of(answer)
        return Unavailable(f"{self.site.name} takes no requests now{named}; come back in {max(1, round(seconds))} s")

    def _failure(self, request: _Request, answer: httpx.Response, body: bytes, access: Access) -> ConnectorError:
        status, named = answer.status_code, self._name_of(answer)
        if status in _REFUSED:
            return Unavailable(
                f"{self.site.name} refused the credential `{access.back_end}` ({status}){named}; nothing was done"
            )
        if status in _GONE:
            return request.missing or NotFound(f"{self.site.name} has no such thing{named}")
        words = access.hide(self._words(body))
        told = f"{self.site.name} refuses it ({status}){named}{f': {words}' if words else ''}"
        if status in _TAKEN:
            return Conflict(told, is_untrusted=bool(words))
        if 400 <= status < 500:
            return InvalidInput(told, is_untrusted=bool(words))
        return self._doubt(request, f"failed ({status})", named)

    def _doubt(self, request: _Request, why: str, named: str = "") -> ConnectorError:
        if request.is_effect:
            return InDoubt(f"{self.site.name} {why}{named}; whether it acted is not known")
        return Unavailable(f"{self.site.name} {why}{named}")

    def _words(self, body: bytes) -> str:
        try:
            return " ".join(self.site.explain(json_.loads(body)).split())[:_LONGEST_WORDS]
        except (ValueError, LookupError, TypeError, AttributeError):
            return ""

    def _name_of(self, answer: httpx.Response) -> str:
        """The request's name, as the vendor's support asks for it."""
        for header in self.site.request_ids:
            found = answer.headers.get(header, "")
            if found.isascii() and found.isprintable() and 0 < len(found) <= 100:
                return f" [{header} {found}]"
        return ""
