"""The home folder, and the clock: what every command needs and nothing heavy hangs on."""

from datetime import UTC, datetime

from gateway.settings import Settings


def utc_now() -> datetime:
    """The time, with zone."""
    return datetime.now(UTC)


def make_home(settings: Settings) -> None:
    """Make the home folder for its owner alone: it holds customers' data."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
