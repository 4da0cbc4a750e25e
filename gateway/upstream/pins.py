"""The definitions that a person accepted, beside the server's file: shipped with it, and read without a database."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.mcp_upstream.declaration import BadUpstream
from connectors.mcp_upstream.definition import Definition


class Pin(BaseModel):
    """What a person said of one tool of a server.

    Args:
        definition: What was accepted, as JSON data; None if nothing ever was.
        withheld: Whether it was refused after it had been accepted: policy may still name it, nobody may call it.
        refused: The hashes of definitions that were looked at and refused.
        by: Who said so last.
        at: When.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition: dict[str, Any] | None = None
    hash: str = ""
    withheld: bool = False
    refused: tuple[str, ...] = ()
    by: str
    at: datetime

    @property
    def accepted(self) -> Definition | None:
        """The definition that was accepted."""
        return Definition.from_data(self.definition) if self.definition is not None else None


class _Pins(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: dict[str, Pin]


def pins_file(folder: Path, server: str) -> Path:
    """Where a server's pins are."""
    return folder / f"{server}.pins.json"


def read_pins(folder: Path, server: str) -> Mapping[str, Pin]:
    """Read what was said of a server's tools, by the server's names for them.

    Raises:
        BadUpstream: If the file cannot be used, or a definition is not the one that its hash names.
    """
    path = pins_file(folder, server)
    try:
        pins = _Pins.model_validate_json(path.read_bytes()).tools
        for name, pin in pins.items():
            accepted = pin.accepted
            if accepted is not None and (accepted.hash != pin.hash or accepted.name != name):
                raise BadUpstream(f"{path}: `{name}` is not the definition that its hash names: review it again")
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError, KeyError) as error:
        raise BadUpstream(f"{path}: {type(error).__name__}: restore it, or delete it and review again") from None
    return pins


def write_pins(folder: Path, server: str, pins: Mapping[str, Pin]) -> None:
    """Write what was said, whole or not at all."""
    path = pins_file(folder, server)
    data = _Pins(tools=dict(sorted(pins.items()))).model_dump(mode="json")
    beside = path.with_suffix(".new")
    # ASCII: what cannot be seen shows in a pull request too.
    beside.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", "ascii")
    beside.replace(path)


def accept(pin: Pin | None, definition: Definition, by: str, at: datetime) -> Pin:
    """The pin of a definition that a person accepts."""
    refused = tuple(each for each in (pin.refused if pin else ()) if each != definition.hash)
    return Pin(definition=definition.as_data(), hash=definition.hash, refused=refused, by=by, at=at)


def refuse(pin: Pin | None, definition: Definition, by: str, at: datetime) -> Pin:
    """The pin after a person refused a definition; what was accepted and is refused now is withheld."""
    refused = tuple(dict.fromkeys((*(pin.refused if pin else ()), definition.hash)))
    if pin is None or pin.definition is None:
        return Pin(refused=refused, by=by, at=at)
    is_withheld = pin.withheld or pin.hash == definition.hash
    return pin.model_copy(update={"refused": refused, "withheld": is_withheld, "by": by, "at": at})
