"""Outsiders' text between marks that nobody can forge: they are drawn for each answer, and their brackets are ours.

Both `content` and `structuredContent` carry the marks, because clients show a model one or the other and nobody can
know which. A short value (an address, a name, most subjects) bears none and stays usable as it is; the answer's
`untrusted` names its path all the same. Random delimiters are the plain form of "spotlighting" (Hines et al. 2024,
arXiv 2403.14720); its stronger forms, between the words or by encoding, would make texts useless to programs.
"""

import secrets

FREE_TEXT = 80
"""From how many characters on a text in one line counts as free text."""

_BRACKETS = str.maketrans({"⟦": "[", "⟧": "]"})


def new_mark() -> str:
    """Draw the secret part of one answer's marks: 8 hexadecimal digits."""
    return secrets.token_hex(4)


def without_brackets(text: str) -> str:
    """A text that cannot be taken for the gateway's own words: plain brackets in place of the gateway's."""
    return text.translate(_BRACKETS)


def is_free(text: str) -> bool:
    """Whether a text is prose rather than a value: several lines, or long with blanks in it."""
    return "\n" in text or (len(text) >= FREE_TEXT and " " in text)


def marked(text: str, mark: str) -> str:
    """A text between marks."""
    return f"⟦outsider {mark}⟧{text}⟦/outsider {mark}⟧"
