"""An issuer's metadata and keys: fetched when needed, remembered, fetched again when a token names an unknown key."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import anyio
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from structlog import get_logger

from gateway.oauth.fetching import NotFound, checked, get_json
from gateway.oauth.refusals import BadToken, IssuerUnavailable
from gateway.policy.files.identity import Issuer

log = get_logger("remit.oauth")

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey
FRESH_SECONDS = 300.0
"""How long keys count before they are fetched anew: a key that an issuer withdraws is refused from then on."""
STALE_SECONDS = 3_600.0
"""How long they count while the issuer cannot be reached."""
RETRY_SECONDS = 15.0
"""How long it is left alone after each attempt, however many tokens name keys that nobody knows."""
MOST_AT_ONCE = 16
"""How many tokens an issuer is asked about at a time; as many may wait again, and the others are turned away."""
_MOST_KEYS = 100
_RSA_BITS = range(2_048, 8_193)
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class Keys:
    """The public keys of one issuer.

    Args:
        issuer: The issuer.
        clock: The time in seconds.
        get: Fetches a JSON object.
    """

    def __init__(self, issuer: Issuer, clock: Callable[[], float], get: Callable[[str], Any] = get_json) -> None:
        self._issuer = issuer
        self._clock = clock
        self._get = get
        self._fetching_keys = anyio.Lock()
        self._fetching_metadata = anyio.Lock()
        self._asking = anyio.CapacityLimiter(MOST_AT_ONCE)
        self._keys: tuple[PublicKey, ...] = ()
        self._metadata: Mapping[str, Any] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._told_at = self._asked_at = float("-inf")

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        """The key that made a signature.

        Args:
            kid: The key's name in the token's header; without one, the issuer must have a single key of the kind.
            algorithm: The signature's algorithm.

        Raises:
            BadToken: If the issuer has no such key.
            IssuerUnavailable: If its keys are not known.
        """
        # While one caller waits for an issuer that does not answer, the others go on with what is known.
        is_being_fetched = self._fetching_keys.locked() and self._age() < STALE_SECONDS
        if self._age() >= FRESH_SECONDS and not is_being_fetched:
            await self._refresh(FRESH_SECONDS)
        if self._age() >= STALE_SECONDS:
            raise IssuerUnavailable("its keys cannot be fetched")
        if (found := self._known(kid, algorithm)) is None:
            await self._refresh(RETRY_SECONDS)
            found = self._known(kid, algorithm)
        if found is None:
            raise BadToken("the issuer has no such key")
        return found

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to ask the issuer: whoever sends made-up tokens must not have it asked without end.

        Raises:
            IssuerUnavailable: If too many wait already.
        """
        if self._asking.statistics().tasks_waiting >= MOST_AT_ONCE:
            raise IssuerUnavailable("too many tokens are to be asked about")
        async with self._asking:
            yield

    async def metadata(self) -> Mapping[str, Any]:
        """What the issuer says of itself (RFC 8414; OpenID Connect Discovery 1.0).

        Raises:
            IssuerUnavailable: If it cannot be had, or is another issuer's.
        """
        async with self._fetching_metadata:
            if not self._metadata or self._clock() - self._told_at >= STALE_SECONDS:
                if self._clock() - self._asked_at < RETRY_SECONDS:
                    raise IssuerUnavailable("its metadata could not be fetched a moment ago")
                self._asked_at = self._clock()
                # As below.
                with anyio.CancelScope(shield=True):
                    self._metadata, self._told_at = await discovered(self._issuer, self._get), self._clock()
            return self._metadata

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _refresh(self, older_than: float) -> None:
        """Fetch the keys unless that was done lately; when it fails, those that are known stay."""
        async with self._fetching_keys:
            if self._age() < older_than or self._clock() - self._tried_at < RETRY_SECONDS:
                return
            self._tried_at = self._clock()
            try:
                # The others do not ask again for a while: whoever asks for them hears the answer.
                with anyio.CancelScope(shield=True):
                    url = self._issuer.jwks or checked((await self.metadata()).get("jwks_uri"), self._issuer)
                    self._keys = public_keys(await self._get(url))
                    self._fetched_at = self._clock()
            except IssuerUnavailable as error:
                log.error("issuer_keys_unavailable", issuer=self._issuer.issuer, error=str(error))

    def _known(self, kid: str | None, algorithm: str) -> PublicKey | None:
        fitting = [key for key in self._keys if fits(key, algorithm)]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)


async def discovered(issuer: Issuer, get: Callable[[str], Any] = get_json) -> Mapping[str, Any]:
    """Fetch an issuer's metadata from the first of the well-known places that has them.

    Raises:
        IssuerUnavailable: If none has, or what is there is another issuer's (RFC 8414, section 3.3).
    """
    for url in well_known(issuer.issuer):
        try:
            found: Mapping[str, Any] = await get(url)
        except NotFound:
            continue
        if found.get("issuer") != issuer.issuer:
            raise IssuerUnavailable(f"its metadata are those of `{str(found.get('issuer'))[:200]}`")
        return found
    raise IssuerUnavailable("it has no metadata at a well-known place")


def well_known(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may be: RFC 8414, section 3.1, and OpenID Connect Discovery 1.0, section 4."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")

    def at(place: str) -> str:
        return urlunsplit(parts._replace(path=place))

    places = [
        at(f"/.well-known/oauth-authorization-server{path}"),
        at(f"/.well-known/openid-configuration{path}"),
        at(f"{path}/.well-known/openid-configuration"),
    ]
    return tuple(dict.fromkeys(places))


def public_keys(found: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The keys of a JWK Set that can check a signature; what is not understood is left out (RFC 7517, section 5).

    Raises:
        IssuerUnavailable: If it is no JWK Set.
    """
    listed = found.get("keys")
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise IssuerUnavailable("it has no list of keys")
    return tuple(key for each in listed[:_MOST_KEYS] if (key := _public_key(each)) is not None)


def _public_key(given: Any) -> PublicKey | None:  # noqa: ANN401 - whatever the issuer sent
    if not isinstance(given, dict) or given.get("kty") not in {"RSA", "EC", "OKP"} or given.get("use", "sig") != "sig":
        return None
    operations = given.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    try:
        key = JWKRegistry.import_key(given)
        if isinstance(key, RSAKey) and key.raw_value.key_size not in _RSA_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def fits(key: PublicKey, algorithm: str) -> bool:
    """Whether a key is for an algorithm: of its kind and curve, and meant for no other."""
    if key.get("alg") not in (None, algorithm):
        return False
    if isinstance(key, RSAKey):
        return algorithm.startswith(("RS", "PS"))
    if isinstance(key, ECKey):
        return key.curve_name == _CURVES.get(algorithm)
    return algorithm in {"EdDSA", "Ed25519"} and key.get("crv") == "Ed25519"
