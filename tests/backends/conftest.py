"""What the tests of all back ends share."""

import pytest

# Failures in a contract tell what was compared, as in any test.
for _contract in ("crm", "email", "knowledge", "ticketing"):
    pytest.register_assert_rewrite(f"tests.backends.{_contract}")
