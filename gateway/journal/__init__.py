"""The journal: what was asked, decided and done, durable before anything happens and hard to change afterwards."""

from gateway.journal.entry import AlreadyRecorded, Entry, JournalUnavailable, Kind
from gateway.journal.reading import read_journal
from gateway.journal.writer import Journal

__all__ = ["AlreadyRecorded", "Entry", "Journal", "JournalUnavailable", "Kind", "read_journal"]
