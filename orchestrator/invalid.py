"""What is wrong with data that does not fit its model, in the words of an error message."""

from pydantic import ValidationError


def first_wrong(error: ValidationError) -> tuple[str, str]:
    """Where the first thing is that does not fit, and what is wrong; never what was given."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(str(part) for part in first["loc"]) or "the whole", first["msg"].removeprefix("Value error, ")


def in_words(error: ValidationError) -> str:
    """The same in one phrase of a sentence."""
    where, what = first_wrong(error)
    return f"`{where}`: {what[:1].lower()}{what[1:]}"
