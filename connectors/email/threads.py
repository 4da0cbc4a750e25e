"""Which messages of a mailbox are one conversation, whatever order they came in (RFC 5322, section 3.6.4).

A message points to the first of its `References`, else to its `In-Reply-To`. One that names no other but says by its
subject that it is a reply points to the last earlier message with the same subject and correspondent. Where following
the pointers ends is the conversation's root.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

_REPLY = re.compile(
    r"^(?:(?:re|aw|sv|vs|antw|ant|rif|r|réf|ref|res|odp|ynt|回复|答复)(?:\[\d+\]|\(\d+\))?\s*[:：]\s*)+", re.IGNORECASE
)
NAMED_BY_SUBJECT = "subject:"


@dataclass(frozen=True)
class Node:
    """What matters of a message for its conversation.

    Args:
        id: Its id in the mailbox.
        message_id: Its RFC 5322 Message-ID.
        parent: The Message-ID it points to, or "".
        subject_key: Its bare subject and correspondent, or "" if it has no subject.
        by_subject: Whether only its subject says that it is a reply.
        at: When it was sent.
    """

    id: str
    message_id: str
    parent: str
    subject_key: str
    by_subject: bool
    at: datetime


def bare_subject(subject: str) -> tuple[str, bool]:
    """A subject without its marks of a reply (`Re:`, `AW:`, `SV:`, …), and whether there were any."""
    bare = _REPLY.sub("", subject.strip())
    return bare.casefold().strip(), bare != subject.strip()


def roots(nodes: Iterable[Node]) -> dict[str, str]:
    """Find each message's root.

    Args:
        nodes: Messages of one mailbox, with all that belong to the same conversations.

    Returns:
        By a message's id the root that it shares with all messages of its conversation.
    """
    oldest_first = sorted(nodes, key=lambda node: (node.at, node.id))
    targets = _targets(oldest_first)
    next_of: dict[str, str] = {}
    for node in oldest_first:
        next_of.setdefault(node.message_id, targets[node.id])
    found: dict[str, str] = {}
    return {node.id: _follow(targets[node.id], next_of, found) for node in oldest_first}


def _targets(oldest_first: list[Node]) -> dict[str, str]:
    """What each message points to; its own Message-ID if it starts a conversation."""
    earlier: dict[str, list[Node]] = {}
    for node in oldest_first:
        if node.subject_key and not node.by_subject:
            earlier.setdefault(node.subject_key, []).append(node)
    return {
        node.id: _by_subject(node, earlier) if node.by_subject else (node.parent or node.message_id)
        for node in oldest_first
    }


def _by_subject(node: Node, earlier: Mapping[str, list[Node]]) -> str:
    candidates = earlier.get(node.subject_key, [])
    index = bisect_left(candidates, (node.at, node.id), key=lambda candidate: (candidate.at, candidate.id))
    return candidates[index - 1].message_id if index else f"{NAMED_BY_SUBJECT}{node.subject_key}"


def _follow(start: str, next_of: Mapping[str, str], found: dict[str, str]) -> str:
    path: dict[str, None] = {}
    at = start
    while at not in found and at not in path:
        path[at] = None
        at = next_of.get(at, at)
    if at in found:
        root = found[at]
    else:
        # The pointers end in a message that points to itself, or in a circle that only forged headers can make.
        steps = list(path)
        root = min(steps[steps.index(at) :])
    found.update(dict.fromkeys(path, root))
    return root
