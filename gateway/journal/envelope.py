"""What personal parts are locked into: AES-256-GCM under a key that opens one entry. Without the key they are gone."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
# A key locks one text only, so no nonce is ever used twice with it (NIST SP 800-38D, section 8).
_NONCE = bytes(12)


def new_key() -> bytes:
    """A random key."""
    return os.urandom(KEY_BYTES)


def lock(text: str, key: bytes, belonging_to: tuple[str, ...]) -> str:
    """Encrypt a text, in base64.

    Args:
        text: ASCII.
        key: A key that was never used and never will be again.
        belonging_to: What it belongs to, without zero characters: opened for anything else it is a forgery.
    """
    return base64.b64encode(AESGCM(key).encrypt(_NONCE, text.encode("ascii"), _bound(belonging_to))).decode()


def unlock(locked: str, key: bytes, belonging_to: tuple[str, ...]) -> str | None:
    """What `lock` was given; None if this key does not open it."""
    try:
        return (
            AESGCM(key).decrypt(_NONCE, base64.b64decode(locked, validate=True), _bound(belonging_to)).decode("ascii")
        )
    except (InvalidTag, binascii.Error, ValueError):
        return None


def _bound(belonging_to: tuple[str, ...]) -> bytes:
    return "\0".join(belonging_to).encode()
