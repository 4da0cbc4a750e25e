"""Bringing in data that already exists: mail, contacts, tickets and documents."""

from connectors.importing.report import ImportReport, Kind, render
from connectors.importing.run import AREAS, Loader, import_path
from connectors.importing.source import UnreadableSource

__all__ = ["AREAS", "ImportReport", "Kind", "Loader", "UnreadableSource", "import_path", "render"]
