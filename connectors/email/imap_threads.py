"""Conversations over IMAP: which messages of all folders belong together, found by a few searches of headers.

A conversation's id says where the message stands that it goes back to (`threads.py`), or the oldest one that points to
it if the mailbox has no such message. Servers' own THREAD (RFC 5256) knows one folder; a conversation has two.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.email.imap_names import FOLDERS, Place, place_of, shown
from connectors.email.imap_session import Session, Text
from connectors.email.mime import ParsedMessage, parse
from connectors.email.showing import NO_MESSAGE_ID, UNDATED, node
from connectors.email.threads import NAMED_BY_SUBJECT, Node, roots
from connectors.email.tools import Folder

_HEADERS = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID IN-REPLY-TO REFERENCES SUBJECT FROM TO DATE)]"
_ROUNDS = 8
_AT_ONCE = 40
_MOST_FOUND = 300

Criterion = tuple[str | Text, ...]


class Conversations:
    """What is known of a mailbox's conversations in the course of one call.

    Args:
        session: A connection to the mailbox.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._nodes: dict[Place, Node] = {}
        self._asked: set[Criterion] = set()

    def ids_of(self, messages: Sequence[tuple[Place, ParsedMessage, datetime]]) -> dict[Place, str]:
        """The id of each message's conversation.

        Args:
            messages: Where each is, what was read of it, and when it was sent.
        """
        for place, parsed, at in messages:
            self._add(place, parsed, at)
        self._look_back()
        root_of = self._roots()
        here = {each.message_id for each in self._nodes.values()}
        # A root that is not here is stood for by the oldest message that points to it.
        lost = {root_of[place] for place, _, _ in messages} - here
        self._look_for(criterion for name in lost for criterion in _pointing_to(name))
        root_of = self._roots()
        is_root = {place: each.message_id == root_of[place] for place, each in self._nodes.items()}
        first: dict[str, Place] = {}
        for place in sorted(self._nodes, key=lambda where: (not is_root[where], self._nodes[where].at, where)):
            first.setdefault(root_of[place], place)
        return {place: shown("thr", self._session.mark, first[root_of[place]]) for place, _, _ in messages}

    def places_of(self, place: Place) -> list[Place]:
        """Where the messages of a conversation are, oldest first; none if it is gone.

        Args:
            place: What its id says.
        """
        self._look_at(place)
        if place not in self._nodes:
            return []
        for _ in range(_ROUNDS):
            self._look_back()
            root_of = self._roots()
            mine = [each for where, each in self._nodes.items() if root_of[where] == root_of[place]]
            names = {root_of[place], *(each.message_id for each in mine)}
            subjects = {each.subject_key for each in mine if each.subject_key}
            pointing = [criterion for name in names for criterion in _pointing_to(name)]
            if not self._look_for([*pointing, *map(_about, subjects)]):
                break
        root_of = self._roots()
        found = [where for where in self._nodes if root_of[where] == root_of[place]]
        return sorted(found, key=lambda where: (self._nodes[where].at, where))

    def _look_back(self) -> None:
        """Find what the known messages point to, and what that points to."""
        for _ in range(_ROUNDS):
            here = {each.message_id for each in self._nodes.values()}
            parents = {each.parent for each in self._nodes.values()} - here - {""}
            subjects = {each.subject_key for each in self._nodes.values() if each.by_subject}
            made_up = {name for name in parents if name.endswith(NO_MESSAGE_ID)}
            for name in made_up:
                self._look_at(place_of(name.removesuffix(NO_MESSAGE_ID), self._session.mark))
            named = [("HEADER", "MESSAGE-ID", Text(name)) for name in parents - made_up]
            if not self._look_for([*named, *map(_about, subjects)]):
                break

    def _look_at(self, place: Place | None) -> None:
        """Learn of the message at a place, if there is one."""
        if place and place not in self._nodes and self._session.go_to(place):
            self._learn(place.folder, [place.uid])

    def _look_for(self, criteria: Iterable[Criterion]) -> bool:
        """Learn of what meets any of the criteria, and say whether that was new."""
        wanted = [criterion for criterion in dict.fromkeys(criteria) if criterion not in self._asked]
        self._asked.update(wanted)
        before = len(self._nodes)
        for start in range(0, len(wanted), _AT_ONCE):
            for folder in FOLDERS:
                if folder in self._session.folders:
                    self._session.open(folder)
                    uids = self._session.search(*_any_of(wanted[start : start + _AT_ONCE]))
                    self._learn(folder, uids[-_MOST_FOUND:])
        return len(self._nodes) > before

    def _learn(self, folder: Folder, uids: Sequence[int]) -> None:
        places = {uid: Place(folder, self._session.validity, uid) for uid in uids}
        new = [uid for uid in uids if places[uid] not in self._nodes]
        for uid, parts in self._session.fetch(new, "INTERNALDATE", _HEADERS).items():
            self._add(places[uid], *read(parts))

    def _add(self, place: Place, parsed: ParsedMessage, at: datetime) -> None:
        self._nodes[place] = node(parsed, shown("msg", self._session.mark, place), self._session.mailbox, at)

    def _roots(self) -> dict[Place, str]:
        found = roots(self._nodes.values())
        return {place: found[each.id] for place, each in self._nodes.items()}


def read(parts: Mapping[bytes, Any]) -> tuple[ParsedMessage, datetime]:
    """What was fetched of a message, and when it was sent, or else arrived."""
    raw = next((value for name, value in parts.items() if name.startswith(b"BODY[")), None) or b""
    parsed = parse(raw)
    return parsed, parsed.sent_at or parts.get(b"INTERNALDATE") or UNDATED


def _pointing_to(name: str) -> list[Criterion]:
    if name.startswith(NAMED_BY_SUBJECT):
        return [_about(name.removeprefix(NAMED_BY_SUBJECT))]
    return [("HEADER", header, Text(name)) for header in ("REFERENCES", "IN-REPLY-TO")]


def _about(subject_key: str) -> Criterion:
    return "SUBJECT", Text(subject_key.partition("\n")[0])


def _any_of(criteria: Sequence[Criterion]) -> list[str | Text]:
    *others, last = criteria
    return [*(part for criterion in others for part in ("OR", *criterion)), *last]
