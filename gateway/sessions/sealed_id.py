"""The id of a session: what its client said when it was opened, sealed with a key that all processes share."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from mcp.server.auth.middleware.bearer_auth import AuthorizationContext

_SHORT = 100
# What a server may ask of a client. Whatever else it declares can be long, and nothing here asks for it.
_ASKED_FOR = ("elicitation", "sampling", "roots")
Short = Annotated[str, Field(max_length=_SHORT)]


class Opened(BaseModel):
    """What is known of a session in every process.

    Args:
        version: The protocol version that the client asked for.
        name: The client's name.
        client_version: The client's version.
        can: The capabilities that matter here.
        owner: Whose session it is, as a hash: nobody else may use it, in whichever tenant.
        nonce: Makes each id another one.
    """

    version: Short
    name: Short
    client_version: Short
    can: dict[str, Any]
    owner: str
    nonce: str

    @classmethod
    def by(
        cls, request: Mapping[str, Any], tenant: str, owner: "AuthorizationContext | None", nonce: str
    ) -> Self | None:
        """What an `initialize` request opens; None if it is no such request."""
        params = request.get("params")
        if request.get("method") != "initialize" or not isinstance(params, dict):
            return None
        client, can = params.get("clientInfo"), params.get("capabilities")
        if not isinstance(client, dict) or not isinstance(can, dict):
            return None
        try:
            return cls(
                version=params.get("protocolVersion", ""),
                name=str(client.get("name", ""))[:_SHORT],
                client_version=str(client.get("version", ""))[:_SHORT],
                can={name: _flags(can[name]) for name in _ASKED_FOR if isinstance(can.get(name), dict)},
                owner=owner_hash(tenant, owner),
                nonce=nonce,
            )
        except ValidationError:
            return None

    @property
    def request(self) -> dict[str, Any]:
        """The `initialize` request that opens it once more."""
        client = {"name": self.name, "version": self.client_version}
        params = {"protocolVersion": self.version, "capabilities": self.can, "clientInfo": client}
        return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def _flags(declared: Mapping[str, Any]) -> dict[str, Any]:
    """A capability's own parts by name alone, so that an id stays short."""
    return {
        name: value if isinstance(value, bool) else {}
        for name, value in list(declared.items())[:5]
        if len(name) < _SHORT and isinstance(value, bool | dict)
    }


def owner_hash(tenant: str, owner: "AuthorizationContext | None") -> str:
    """Who opened a session, in a text that says no more than whether two are the same."""
    parts = [tenant, owner["client_id"], owner["issuer"], owner["subject"]] if owner else []
    return sha256(repr(parts).encode()).hexdigest()[:32]


class Seal:
    """Seals and opens; every process with the same key can do both.

    Args:
        key: 32 secret bytes or more.
        seconds: For how long what was sealed can be opened.
        purpose: What it is sealed for: what was sealed for something else cannot be opened.
    """

    def __init__(self, key: bytes, seconds: float, purpose: bytes = b"remit sessions") -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)
        self._fernet = Fernet(urlsafe_b64encode(derived))
        self._seconds = int(seconds)

    def closed(self, content: bytes) -> str:
        """Seal something in visible ASCII."""
        return self._fernet.encrypt(content).decode()

    def content(self, sealed: str) -> bytes | None:
        """What was sealed; None if it was not sealed with this key, was changed, or is too old."""
        try:
            return self._fernet.decrypt(sealed, self._seconds)
        except (InvalidToken, ValueError):  # the latter for what is not even ASCII
            return None

    def session_id(self, opened: Opened) -> str:
        """The id of a session."""
        return self.closed(opened.model_dump_json().encode())

    def opened(self, session_id: str) -> Opened | None:
        """What an id says; None if it was not made with this key, was changed, or is too old."""
        content = self.content(session_id)
        return Opened.model_validate_json(content) if content else None
