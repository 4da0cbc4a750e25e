"""What a run has seen, as bytes: sealed, so that whoever has the database can neither read, guess nor forge.

AES-SIV (RFC 5297) needs no random numbers: equal evidence gives equal bytes, and nothing else is told by them.
"""

import hashlib
import json
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from connectors.contract import Confidentiality
from gateway.flow.evidence import Source
from gateway.flow.remembered import Remembered
from gateway.policy.language.flow import Origin

_FORM = b"\x01"
_ORIGINS = {origin.value: origin for origin in Origin}
_LEVELS = {level.value: level for level in Confidentiality}
_write = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
# A run's fingerprint is a tuple's hash: the same in every process of one Python, perhaps not in the next.
_PYTHON = hash((1, 2, 3))


class Unreadable(ValueError):
    """Stored evidence that cannot be read; nothing may be decided without it."""


class Row(NamedTuple):
    """What one text or value showed.

    Args:
        source: Where it stood.
        values: Fingerprints of its values.
        runs: Fingerprints of its runs of words.
    """

    source: Source
    values: "array[int]"
    runs: "array[int]"


_sealed_here: Remembered[tuple[bytes, bytes], Sequence[Row]] = Remembered(2_000_000)
_ROW_SIZE = 400
"""Bytes that a row takes beside its numbers."""


def seal(rows: Sequence[Row], key: bytes) -> bytes:
    """Write rows as bytes.

    Args:
        rows: What was seen.
        key: The secret that `unseal` will have.
    """
    numbers = array("q")
    told = []
    owners: dict[frozenset[str], list[str]] = {}
    for source, values, runs in rows:
        if (whose := owners.get(source.owners)) is None:
            whose = owners[source.owners] = sorted(source.owners)
        told.append((source.origin, source.confidentiality, whose, source.place, len(values), len(runs)))
        numbers += values
        numbers += runs
    if sys.byteorder == "big":
        numbers.byteswap()
    head = _write([_PYTHON, told]).encode()
    sealed = _FORM + _cipher(key).encrypt(struct.pack("<I", len(head)) + head + numbers.tobytes(), [_FORM])
    # This process reads it back before it decides the run's next call.
    _sealed_here.put((key, sealed), rows, _ROW_SIZE * len(rows) + 2 * len(sealed))
    return sealed


def unseal(sealed: bytes, key: bytes) -> Sequence[Row]:
    """Read rows.

    Args:
        sealed: What `seal` gave.
        key: The secret that it was given.

    Raises:
        Unreadable: If it is of another form, another secret or another version of Python, or was changed.
    """
    known = _sealed_here.get((key, sealed))
    return _opened(sealed, key) if known is None else known


def _opened(sealed: bytes, key: bytes) -> Sequence[Row]:
    if sealed[:1] != _FORM:
        raise Unreadable(f"stored evidence has form `{sealed[:1].hex() or 'none'}`; this version reads `{_FORM.hex()}`")
    try:
        opened = _cipher(key).decrypt(sealed[1:], [_FORM])
    except (InvalidTag, ValueError) as error:
        raise Unreadable("stored evidence was changed or belongs to another secret; end the run") from error
    (size,) = struct.unpack_from("<I", opened)
    python, told = json.loads(opened[4 : 4 + size])
    if python != _PYTHON:
        raise Unreadable("stored evidence comes from a Python that hashes otherwise; end the run")
    numbers = array("q", opened[4 + size :])
    if sys.byteorder == "big":
        numbers.byteswap()
    return _rows(told, numbers)


def _rows(told: Iterable[tuple[str, str, list[str], str, int, int]], numbers: "array[int]") -> list[Row]:
    rows, start = [], 0
    for origin, confidentiality, owners, place, values, runs in told:
        middle, end = start + values, start + values + runs
        source = Source(_ORIGINS[origin], _LEVELS[confidentiality], frozenset(owners), place)
        rows.append(Row(source, numbers[start:middle], numbers[middle:end]))
        start = end
    return rows


@lru_cache(maxsize=4)
def _cipher(key: bytes) -> AESSIV:
    return AESSIV(hashlib.blake2b(key, digest_size=64, person=b"seen rows").digest())
