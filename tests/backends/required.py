"""Whether a real system has to be there for the tests that need it."""

import os

import pytest


def required(is_there: bool, what: str) -> None:
    """Skip where a real system is not installed, unless the tests have to be made with it.

    Args:
        is_there: Whether it is.
        what: What `tests/backends/install` installs.
    """
    if not is_there and os.environ.get("REMIT_BACKENDS") == "required":
        pytest.fail(f"{what} is not installed: run tests/backends/install")
    if not is_there:
        pytest.skip(f"{what} is not installed: run tests/backends/install")
