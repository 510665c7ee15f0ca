"""The package `fewstep_client` at the services of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from fewstep_client import Client
from tests.e2e.stack import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client of the service that samples."""
    with Client(str(stack.api.base_url), retries=2) as client:
        yield client
