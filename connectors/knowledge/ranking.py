"""Which passages answer a question best, judged only by what the caller may read.

A full-text index counts words over everything it holds, so its own scores tell whether some hidden document has a
word. Here every word of the question is looked up by itself; the index says how well a passage fits that word
(BM25, as a share of the best readable passage), and how much the word counts follows from how rare it is among the
readable passages (the inverse document frequency of Robertson and Spärck Jones). A score of 1 means: every word
of the question, as well as anywhere.
"""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, select

from connectors.knowledge.fulltext import Term, fits
from connectors.knowledge.tables import documents, passages
from connectors.knowledge.tools import Trust

MAX_WORDS = 24

_WORD = re.compile(r"\w+")
_MIN_PREFIX = 5  # from this length on a word also finds longer ones, such as plurals and compounds
_PREFERENCE: Mapping[Trust, float] = {"official": 1.0, "internal": 0.95, "external": 0.85}


def terms(question: str) -> list[Term]:
    """The question's words, each once."""
    words = dict.fromkeys(_WORD.findall(unicodedata.normalize("NFKC", question).lower()))
    return [Term(word, len(word) >= _MIN_PREFIX) for word in list(words)[:MAX_WORDS]]


def rank(
    connection: Connection, readable: Sequence[ColumnElement[bool]], tenant: str, question: str
) -> dict[int, float]:
    """Score every readable passage that has a word of the question.

    Args:
        connection: Where to ask.
        readable: What holds for the documents that the caller may read.
        tenant: Whose documents.
        question: Words, in any language; anything else in it is ignored.

    Returns:
        By passage id a score above 0 and up to 1, rounded to four digits; `official` documents are slightly preferred.
    """
    here = (documents.c.tenant == passages.c.tenant) & (documents.c.id == passages.c.document_id)
    mine = select(passages.c.id, documents.c.origin).join(documents, here).where(passages.c.tenant == tenant, *readable)
    origins: dict[int, Trust] = dict(connection.execute(mine).all())
    scores: defaultdict[int, float] = defaultdict(float)
    whole = 0.0
    for term in terms(question):
        found = {id_: fit for id_, fit in fits(connection, term).items() if id_ in origins}
        weight = math.log(1 + (len(origins) - len(found) + 0.5) / (len(found) + 0.5))
        whole += weight
        best = max(found.values(), default=1.0)
        for id_, fit in found.items():
            scores[id_] += _PREFERENCE[origins[id_]] * weight * (fit / best)
    return {id_: round(score / whole, 4) or 0.0001 for id_, score in scores.items()}
