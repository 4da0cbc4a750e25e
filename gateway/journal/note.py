"""Signed notes: text with Ed25519 signatures, in the form that transparency logs use (C2SP signed-note).

Keys are written as the Go implementation writes them: `NAME+ID+KEY`, the private one with `PRIVATE+KEY+` before.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_MARK = "— "


class BadKey(Exception):
    """This is not a key."""


class BadNote(Exception):
    """This is no note that the key signed."""


@dataclass(frozen=True)
class PublicKey:
    """What notes are checked with.

    Args:
        name: Names the signer; without spaces and `+`.
        key: 32 bytes.
    """

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys apart."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(_ED25519 + self.key)}"

    def open(self, note: str) -> str:
        """Give a note's text.

        Raises:
            BadNote: If it is malformed or not signed with this key.
        """
        text, blank, lines = note.rpartition("\n\n")
        start = f"{_MARK}{self.name} {_base64(self.id)[:5]}"
        mine = [line for line in lines.split("\n") if line.startswith(start)]
        if not blank or not lines.endswith("\n") or len(mine) != 1:
            raise BadNote(f"it is not signed by `{self.name}`")
        signature = _unbase64(mine[0].removeprefix(f"{_MARK}{self.name} "), BadNote("its signature is malformed"))
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(
                signature[4:], f"{text}\n".encode("utf-8", "surrogatepass")
            )
        except InvalidSignature:
            raise BadNote("its signature is false") from None
        if signature[:4] != self.id:
            raise BadNote(f"it is not signed by `{self.name}`")
        return f"{text}\n"


@dataclass(frozen=True)
class Signer:
    """What notes are signed with.

    Args:
        name: Names the signer; without spaces and `+`.
        seed: The private key, 32 bytes.
    """

    name: str
    seed: bytes

    @property
    def public(self) -> PublicKey:
        """The key that the world may know."""
        return PublicKey(self.name, self._key.public_key().public_bytes_raw())

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, text: str) -> str:
        """Make a note of a text that ends in a newline."""
        signature = _base64(self.public.id + self._key.sign(text.encode()))
        return f"{text}\n{_MARK}{self.name} {signature}\n"

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"


def parse_public_key(text: str) -> PublicKey:
    """Read a public key as `remit journal key` prints it.

    Raises:
        BadKey: If it is none.
    """
    problem = BadKey("not a public key: give what `remit journal key` printed, `NAME+ID+KEY`")
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _unbase64(encoded, problem)
    key = PublicKey(name, raw[1:])
    if raw[:1] != _ED25519 or len(key.key) != 32 or key_id != key.id.hex() or not name or " " in name:
        raise problem
    return key


def load_or_make_signer(path: Path) -> Signer:
    """Read the journal's key, made at the first time for its owner alone.

    Raises:
        BadKey: If the file holds no key.
        OSError: If it can be neither read nor made.
    """
    try:
        return load_signer(path)
    except FileNotFoundError:
        _make_key(path)
        return load_signer(path)


def load_signer(path: Path) -> Signer:
    """Read the journal's key.

    Raises:
        BadKey: If the file holds no key.
        OSError: If it cannot be read.
    """
    problem = BadKey(f"`{path}` holds no journal key: put the right file back")
    name, _, rest = path.read_text("ascii", errors="replace").strip().removeprefix(_PRIVATE).partition("+")
    raw = _unbase64(rest.partition("+")[2], problem)
    if raw[:1] != _ED25519 or len(raw) != 33:
        raise problem
    return Signer(name, raw[1:])


def _make_key(path: Path) -> None:
    seed = os.urandom(32)
    public = Signer("", seed).public.key
    signer = Signer(f"remit-journal/{sha256(public).hexdigest()[:16]}", seed)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{_PRIVATE}{signer.name}+{signer.public.id.hex()}+{_base64(_ED25519 + seed)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces: of processes that start together, one makes the key and all use it.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unbase64(text: str, problem: Exception) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise problem from None
    # Each value has one spelling: what is not it was altered.
    if _base64(raw) != text:
        raise problem
    return raw
