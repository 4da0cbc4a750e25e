"""Deciding how a text file is encoded, and what text may not hold."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.importing.source import UnreadableSource

NOT_UTF8: Final = "not UTF-8, read as Windows-1252"
HIDDEN: Final = "hidden characters"
REPLACED: Final = "characters that no text may hold, replaced"

_CHUNK = 1 << 20
_MAX_BINARY = 0.1
# What is there but not seen: zero-width and direction marks, word joiners, byte order marks, and the tag block.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
# NUL and lone surrogates cannot be stored by every database.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BINARY = re.compile(b"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class Encoding:
    """A codec's name, and what to tell people if it had to be guessed."""

    codec: str
    note: str = ""


def encoding_of(path: Path) -> Encoding:
    """Read a text file once and say how it is encoded: UTF-8, UTF-16 with a byte order mark, or else Windows-1252.

    Raises:
        UnreadableSource: If the file is empty, cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:
            first = file.read(_CHUNK)
            if not first.strip():
                raise UnreadableSource(f"`{path.name}` is empty")
            if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return Encoding("utf-16", f"{path.name}: read as UTF-16")
            if len(_BINARY.findall(first[:4096])) > _MAX_BINARY * len(first[:4096]):
                raise UnreadableSource(f"`{path.name}` holds binary data; expected a text file")
            decoder, chunk = codecs.getincrementaldecoder("utf-8")(), first
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(_CHUNK)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return Encoding("cp1252", f"{path.name}: not UTF-8, read as Windows-1252")
    except OSError as error:
        raise UnreadableSource(f"cannot read `{path.name}`: {(error.strerror or 'input error').lower()}") from error
    return Encoding("utf-8-sig")


def storable(text: str) -> str:
    """Replace what a database may refuse (NUL, lone surrogates) by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def signs_of(*texts: str) -> tuple[str, ...]:
    """What to count about texts as the source had them: hidden characters, characters that `storable` replaces."""
    hidden = (HIDDEN,) if any(_INVISIBLE.search(text) for text in texts) else ()
    replaced = (REPLACED,) if any(_UNSTORABLE.search(text) for text in texts) else ()
    return hidden + replaced
