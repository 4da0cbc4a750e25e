from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.importing.source import Refused
from connectors.importing.timestamps import parse_moment

MOMENTS = st.datetimes(
    min_value=datetime(2002, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
).map(lambda moment: moment.replace(microsecond=0))


@given(moment=MOMENTS)
def test_the_same_moment_is_read_in_every_form(moment: datetime) -> None:
    forms = [moment.isoformat(), format_datetime(moment), str(int(moment.timestamp())), int(moment.timestamp() * 1000)]
    assert {parse_moment("at", form).at for form in forms} == {moment}


@pytest.mark.parametrize(
    "text", ["2024-05-14 10:00:00 UTC", "2024-05-14T10:00Z", "2024-05-14 12:00:00 +0200", "1715680800.0"]
)
def test_the_ways_exports_write_a_moment_with_its_zone(text: str) -> None:
    moment = parse_moment("at", text)
    assert (moment.at, moment.had_zone) == (datetime(2024, 5, 14, 10, 0, tzinfo=UTC), True)


def test_a_moment_without_zone_is_utc_and_marked() -> None:
    moment = parse_moment("at", "2024-05-14 10:00")
    assert (moment.at, moment.had_zone) == (datetime(2024, 5, 14, 10, 0, tzinfo=UTC), False)


@pytest.mark.parametrize(
    "text", ["", "03/04/2024", "soon", "12", "9" * 30, "2024-02-30", "0001-01-01T00:00:00+14:00", "None"]
)
def test_what_is_no_moment_or_could_be_two_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="at: not a timestamp: "):
        parse_moment("at", text)


@given(text=st.text())
def test_any_text_is_a_moment_with_zone_or_refused(text: str) -> None:
    with suppress(Refused):
        assert parse_moment("at", text).at.utcoffset() is not None
