"""Sealing: AES-256-GCM (NIST SP 800-38D), bound to the place where a credential belongs, so that no row serves another.

A sealed row: one byte for the form, 8 for which key, 12 random ones (the nonce), then what is sealed with its tag.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.credentials.kinds import Place

_FORM = b"\x01"
_ID_BYTES, _NONCE_BYTES = 8, 12


class NotOpened(Exception):
    """A row was sealed under a key that is not there, for another place, or was altered."""


@dataclass(frozen=True, repr=False)
class Key:
    """A key that seals.

    Args:
        id: Names it; says nothing about it.
        value: 32 bytes.
    """

    id: bytes
    value: bytes

    @classmethod
    def of(cls, text: str) -> "Key":
        """The key that follows from a secret text, of which nobody can try guesses: random, not thought up."""
        return cls(_derived(text, b"remit credentials: name", _ID_BYTES), _derived(text, b"remit credentials: key", 32))

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"


@dataclass(frozen=True)
class Keys:
    """The keys at hand: the first seals, each opens what it has sealed.

    Args:
        all: At least one.
    """

    all: tuple[Key, ...]

    def seal(self, data: bytes, place: Place, random: Callable[[int], bytes] = os.urandom) -> bytes:
        """Seal data for one place."""
        key, nonce = self.all[0], random(_NONCE_BYTES)
        head = _FORM + key.id
        return head + nonce + AESGCM(key.value).encrypt(nonce, data, _bound_to(head, place))

    def open(self, sealed: bytes, place: Place) -> bytes:
        """Open what was sealed for this place.

        Raises:
            NotOpened: If it was not, or was altered.
        """
        head, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        key = next((each for each in self.all if head == _FORM + each.id), None)
        if key is None:
            raise NotOpened("its key is not among those at hand")
        try:
            return AESGCM(key.value).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound_to(head, place))
        except (InvalidTag, ValueError):
            raise NotOpened("it was altered, or belongs elsewhere") from None

    def is_newest(self, sealed: bytes) -> bool:
        """Whether a row is sealed under the first key."""
        return sealed.startswith(_FORM + self.all[0].id)


def _bound_to(head: bytes, place: Place) -> bytes:
    return head + json.dumps(place).encode()


def _derived(text: str, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(text.encode())
