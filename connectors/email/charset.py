"""Bytes to text when the declared charset is wrong, unknown or hostile, and text without what nobody can see."""

import codecs
import re

# What mailers call by one name and fill with a superset (WHATWG Encoding Standard, section 4.2).
_SUPERSETS = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "iso8859-9": "cp1254"}
# Codecs that no mailer uses for text: slow on long input, or an interpreter of escapes.
_NOT_CHARSETS = {"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "charmap", "utf-7"}

# C0 and C1 controls but tab and newline, marks that reorder or split words, and characters such as Unicode's tags
# that nobody sees and a model reads.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_WHITE = re.compile(r"\s+")


def decode(data: bytes, charset: str | None = None) -> str:
    """Turn bytes into text, whatever they are.

    Args:
        data: The bytes.
        charset: What the sender declared; believed only if the bytes agree.
    """
    declared = _codec(charset)
    for name, errors in ((declared, "strict"), ("utf-8", "strict"), (declared or "cp1252", "replace")):
        try:
            if name:
                return data.decode(name, errors)
        except (ValueError, LookupError):
            continue
    return data.decode("cp1252", "replace")


def _codec(charset: str | None) -> str | None:
    try:
        name = codecs.lookup(charset or "").name
    except (LookupError, ValueError):
        return None
    # Bytes that are valid UTF-8 but were declared ASCII or Latin-1 are nearly always UTF-8.
    if name in {"ascii", "iso8859-1", "cp1252"} or name in _NOT_CHARSETS:
        return None
    return _SUPERSETS.get(name, name)


def visible(text: str) -> str:
    """Text without control, direction-changing and invisible characters; every line ends in a line feed."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def visible_line(text: str, limit: int) -> str:
    """One line of at most `limit` characters: every run of white space and control characters becomes one space."""
    return _UNSEEN.sub("", _WHITE.sub(" ", text)).strip()[:limit].rstrip()
