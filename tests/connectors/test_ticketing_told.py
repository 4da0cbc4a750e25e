"""What every help desk tells in the same words."""

import pytest

from connectors.errors import InDoubt, InvalidInput
from connectors.ticketing.told import done
from connectors.ticketing.tools import Ticket


async def test_words_about_a_ticket_that_is_not_shown_after_a_write_stay_untrusted() -> None:
    async def reading() -> Ticket:
        raise InvalidInput("Jira refuses it (400): send it again", is_untrusted=True)

    with pytest.raises(InDoubt, match=r"does not show it: Jira .*: send it again") as told:
        await done("Jira", reading())
    assert told.value.is_untrusted
