"""A person's yes or no to one exact call.

The journal is the only store. A question is named by who asks and what would be done; the same call repeated is the
same question. Whatever happens to it is recorded under its name (`events.py`), and its state is read off those entries
(`approval.py`). Every event says how many came before it, and the journal takes each number once: of two people who act
at the same moment one is first, and the other looks again. Who may say what is decided in `answering.py`; `book.py`
is where it meets the journal. `standing.py` holds what a yes may cover beyond one call.
"""

from gateway.approvals.answering import NotAnswerable, may_answer
from gateway.approvals.approval import Approval, Question, State, read_approval

__all__ = ["Approval", "NotAnswerable", "Question", "State", "may_answer", "read_approval"]
