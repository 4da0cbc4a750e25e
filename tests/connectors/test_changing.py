"""What is told of a change in a CRM elsewhere that was made and cannot be shown."""

import pytest

from connectors.crm.changing import done
from connectors.errors import InDoubt, InvalidInput


async def test_words_about_a_record_that_cannot_be_read_after_a_change_stay_untrusted() -> None:
    async def reading() -> None:
        raise InvalidInput("HubSpot refuses it (400): send it again", is_untrusted=True)

    with pytest.raises(InDoubt, match=r"could not be read: HubSpot .*: send it again") as told:
        await done(reading())
    assert told.value.is_untrusted
