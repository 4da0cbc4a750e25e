import pytest

from connectors.sample.company import Company, generate


@pytest.fixture(scope="session")
def company() -> Company:
    return generate()
