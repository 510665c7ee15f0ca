"""One browser for each file of tests: as long as it is open, no other test may have an event loop."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.console.browser import MISSING, find_chromium, is_required, open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_runtest_setup() -> None:
    """Skip where there is no browser, and fail where there must be one: before any service is started."""
    if find_chromium() is None:
        if is_required():
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium."""
    from playwright.sync_api import expect

    path = find_chromium()
    assert path is not None
    expect.set_options(timeout=60_000)
    with open_browser(path) as opened:
        yield opened
