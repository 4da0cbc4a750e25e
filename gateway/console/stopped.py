"""Whether a person is stopped, and so has no business in the console."""

from starlette.exceptions import HTTPException

from gateway.gateway import Gateway
from gateway.principal import Principal
from gateway.stopping.in_force import StopsUnread
from gateway.stopping.stop import What


async def is_stopped(gateway: Gateway, person: Principal) -> bool:
    """Whether somebody has stopped this very person. A stopped tenant does not count: its people look into it here.

    Raises:
        HTTPException: With 503 if nobody knows.
    """
    try:
        stops = await gateway.stops.current(gateway.now())
    except StopsUnread:
        raise HTTPException(503) from None
    return any(each.target.what is What.PERSON and each.target.covers(person, "", ()) for each in stops)
