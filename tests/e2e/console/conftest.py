"""One browser for each file of tests: as long as it is open, no other test may have an event loop."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.console.browser import MISSING, find_chromium, is_required, open_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none, and fails where there must be one."""
    path = find_chromium()
    if path is None:
        if is_required():
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    expect.set_options(timeout=60_000)
    with open_browser(path) as opened:
        yield opened
