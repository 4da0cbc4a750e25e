"""What an upstream server says of one of its tools, and the hash by which a person's acceptance is bound to it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

MAX_DEFINITION_BYTES = 65_536


@dataclass(frozen=True)
class Definition:
    """A tool as its server defines it. What is not in here is neither pinned nor passed on to anybody.

    Args:
        name: Its name at the server.
        title: For people; may be empty.
        description: For models.
        input_schema: JSON schema of its arguments.
        output_schema: JSON schema of its structured result, if it has one.
        annotations: The server's hints, such as `readOnlyHint`. Nothing is decided by them.
    """

    name: str
    title: str = ""
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the definition as JSON with sorted keys, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self, *, indent: int | None = None) -> str:
        """The definition as ASCII JSON with sorted keys: whatever cannot be seen is escaped."""
        separators = (",", ":") if indent is None else (",", ": ")
        return json.dumps(self.as_data(), sort_keys=True, indent=indent, separators=separators)

    def as_data(self) -> dict[str, Any]:
        """The definition as JSON data, as `from_data` takes it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
            "annotations": self.annotations,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Definition":
        """Read what `as_data` gave.

        Raises:
            KeyError: If a part is missing.
        """
        names = ("name", "title", "description", "input_schema", "output_schema", "annotations")
        return cls(**{name: data[name] for name in names})
