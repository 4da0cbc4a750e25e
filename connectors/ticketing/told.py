"""What every help desk tells in the same words: that a ticket is not there, is closed, or was written to."""

from collections.abc import Awaitable

from connectors.errors import Conflict, NotFound
from connectors.ticketing.tools import Status, Ticket
from connectors.vendor.read_back import read_back


def missing(id_: str) -> NotFound:
    """What to raise where a ticket is not there."""
    return NotFound(f"there is no ticket `{id_}`; find the right id first", field="ticket_id")


def refuse_closed(id_: str, status: Status, takes: str = "notes only") -> None:
    """Refuse to write to a closed ticket.

    Args:
        id_: The ticket's.
        status: Its status.
        takes: What a closed ticket takes all the same.

    Raises:
        Conflict: If it is closed.
    """
    if status == "closed":
        told = f"ticket `{id_}` is closed and takes {takes}; create a new ticket instead"
        raise Conflict(told, field="ticket_id")


async def done(system: str, reading: Awaitable[Ticket]) -> Ticket:
    """The ticket after a write, which was done even if the ticket cannot be read.

    Args:
        system: The help desk's name.
        reading: Gives the ticket.

    Raises:
        InDoubt: If it cannot be read.
    """
    return await read_back(reading, f"{system} has done it, and does not show it")
