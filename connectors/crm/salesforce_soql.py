"""Salesforce's ids without capitals, and the pieces of its query language, SOQL, that hold what somebody else wrote."""

from datetime import UTC, datetime

from connectors.errors import NotFound

_LENGTH, _CHUNK = 15, 5
_SUMS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def shown(prefix: str, id_: str) -> str:
    """An id as the tools spell it.

    Capitals count in the first 15 characters, and the last three say which these are: so nothing is lost.

    Args:
        prefix: Of the kind, such as `con`.
        id_: Of 18 characters.
    """
    return f"{prefix}_{id_.lower()}"


def id_of(spelled: str, what: str, field: str) -> str:
    """Salesforce's id of 18 characters.

    Args:
        spelled: As the tools spell it.
        what: What it is an id of, such as `contact`.
        field: The input field.

    Raises:
        NotFound: If it is none of Salesforce's: then there is no such record.
    """
    small = spelled.partition("_")[2]
    body, sums = small[:_LENGTH], small[_LENGTH:].upper()
    if len(small) == _LENGTH + 3 and all(each in _SUMS for each in sums):
        bits = [_SUMS.index(sums[place // _CHUNK]) >> place % _CHUNK & 1 for place in range(_LENGTH)]
        found = "".join(letter.upper() if bit else letter for letter, bit in zip(body, bits, strict=True))
        if found + checksum(found) == found + sums and found.lower() == body:
            return found + sums
    raise NotFound(f"there is no {what} `{spelled}`; search for it first", field=field)


def checksum(id_: str) -> str:
    """The three characters that say which of an id's 15 are capitals."""
    chunks = (id_[start : start + _CHUNK] for start in range(0, _LENGTH, _CHUNK))
    return "".join(_SUMS[sum(letter.isupper() << place for place, letter in enumerate(chunk))] for chunk in chunks)


def quoted(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def containing(text: str) -> str:
    """A text as the literal for `LIKE` that finds it anywhere; what it finds beside that is to be sifted.

    A backslash stands for any character: what it does in a pattern is written nowhere.
    """
    plain = text.replace("\\", "_").replace("'", "\\'").replace("%", "\\%")
    return f"'%{plain}%'"


def moment(at: datetime) -> str:
    """A time as a literal."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
