"""What a credential can be, and what is sealed of it."""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Literal, NamedTuple, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from gateway.credentials.asserting import signing_key

_EARLY = timedelta(seconds=60)
_SAFE_URL = r"^(https://[^\s/?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?)(/[^\s#]*)?$"


def _fit_for_a_header(secret: SecretStr) -> SecretStr:
    # An error about a header that cannot be sent would quote it.
    if not all("!" <= each <= "~" for each in secret.get_secret_value()):
        raise ValueError("it must be made of visible ASCII characters without blanks")
    return secret


def _fit_to_sign(secret: SecretStr) -> SecretStr:
    try:
        signing_key(secret.get_secret_value())
    except ValueError:
        raise ValueError("it must be an RSA or EC private key in PEM, without a password") from None
    return secret


# What is shorter would be found in harmless text too, where echoed secrets are hidden.
_Secret = Annotated[SecretStr, Field(min_length=8, max_length=16_384)]
_Shown = Annotated[_Secret, AfterValidator(_fit_for_a_header)]
_Line = Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\s:\x00-\x1f\x7f]+$")]
Scope = Annotated[str, StringConstraints(max_length=200, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""One scope (RFC 6749, section 3.3)."""
BACK_END = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Place(NamedTuple):
    """Where a credential belongs.

    Args:
        tenant: Whose it is.
        back_end: For which back end.
        person: The person whose own it is; empty if it is the tenant's.
    """

    tenant: str
    back_end: str
    person: str = ""

    def __str__(self) -> str:
        whose = f"{self.person} in {self.tenant}" if self.person else self.tenant
        return f"{self.back_end} of {whose}"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Token(_Frozen):
    """A bearer token or key of an API."""

    kind: Literal["token"] = "token"
    token: _Shown


class Password(_Frozen):
    """A user and a password."""

    kind: Literal["password"] = "password"
    user: _Line
    password: _Secret


class _Granted(_Frozen):
    """What tokens are got for at an OAuth token endpoint, on the web over TLS or on this machine.

    Args:
        token_url: The endpoint.
        client_id: The gateway's name there.
        scopes: What is asked for; empty asks for whatever is usual there.
        resource: For whom tokens are meant (RFC 8707); empty does not say.
        client_auth: How the client's secret is sent (RFC 6749, section 2.3.1).
    """

    token_url: Annotated[str, Field(pattern=_SAFE_URL, max_length=2_000)]
    client_id: Annotated[str, Field(min_length=1, max_length=1_000)]
    scopes: tuple[Scope, ...] = ()
    resource: Annotated[str, Field(max_length=2_000)] = ""
    client_auth: Literal["basic", "post"] = "basic"


class ClientCredentials(_Granted):
    """The gateway's own account at an authorization server (RFC 6749, section 4.4)."""

    kind: Literal["client"] = "client"
    client_secret: _Secret


class RefreshToken(_Granted):
    """What somebody has consented to once (RFC 6749, section 6); public clients have no secret."""

    kind: Literal["refresh"] = "refresh"
    client_secret: _Secret | None = None
    refresh_token: _Secret


class Assertion(_Granted):
    """A key whose holder vouches for a user (RFC 7523, section 2.1): what vendors call a JWT bearer flow.

    Args:
        subject: For whom, such as a user's name at the vendor; empty for the client itself.
        audience: To whom it is said; empty for the token endpoint.
        private_key: An RSA or EC key in PEM.
    """

    kind: Literal["assertion"] = "assertion"
    subject: Annotated[str, Field(max_length=1_000)] = ""
    audience: Annotated[str, Field(max_length=2_000)] = ""
    private_key: Annotated[_Secret, AfterValidator(_fit_to_sign)]


Given = Annotated[Token | Password | ClientCredentials | RefreshToken | Assertion, Field(discriminator="kind")]


class Content(_Frozen):
    """Everything of a credential that is sealed.

    Args:
        given: What the operator gave; of a refresh token always the newest.
        scopes: What it is good for, as far as that is known.
        expires_at: When the token ends, the one got of OAuth or the one given; None if nobody said.
        access: The token got of OAuth.
        got_at: When.
    """

    given: Given
    scopes: tuple[Scope, ...] | None = None
    expires_at: datetime | None = None
    access: SecretStr | None = None
    got_at: datetime | None = None

    @property
    def is_renewed(self) -> bool:
        """Whether tokens are got for it."""
        return isinstance(self.given, _Granted)

    @property
    def asked(self) -> tuple[str, ...]:
        """The scopes that tokens are asked for with."""
        return self.given.scopes if isinstance(self.given, _Granted) else ()

    def is_good(self, now: datetime) -> bool:
        """Whether it can be shown."""
        return (not self.is_renewed or self.access is not None) and (self.expires_at is None or now < self.expires_at)

    def is_due(self, now: datetime) -> bool:
        """Whether a token should be got: ahead of the old one's end, a third of its life at most."""
        if not self.is_renewed or self.access is None or self.expires_at is None or self.got_at is None:
            return self.is_renewed
        return now >= self.expires_at - min(_EARLY, (self.expires_at - self.got_at) / 3)


def secret_of(content: Content) -> tuple[SecretStr, str] | None:
    """What is shown, and the user that it belongs to; None if a token has yet to be got."""
    given = content.given
    if isinstance(given, Token):
        return given.token, ""
    if isinstance(given, Password):
        return given.password, given.user
    return (content.access, "") if content.access is not None else None


def written(content: Content) -> bytes:
    """A content with its secrets, to be sealed at once."""
    return json.dumps(content.model_dump(), default=_plain).encode()


def read(data: bytes) -> Content:
    """What was sealed.

    Raises:
        ValidationError: If it is none.
    """
    return Content.model_validate_json(data)


def scopes_in(told: object) -> tuple[str, ...] | None:
    """The scopes that an authorization server names, separated by blanks; None if it names none."""
    if not isinstance(told, str):
        return None
    return in_order(each for each in told.split() if len(each) <= 200 and each.isascii() and each.isprintable())


def in_order(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scopes without repetition."""
    return tuple(sorted(set(scopes)))


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else cast("datetime", value).isoformat()
