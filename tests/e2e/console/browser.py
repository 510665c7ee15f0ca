"""A real Chromium, and what a visitor of the console sees and must not see."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request
    from playwright.sync_api import expect as expect
else:

    def expect(actual: object) -> object:
        """playwright's, imported when a test first calls it."""
        import playwright.sync_api

        return playwright.sync_api.expect(actual)


NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "the console's tests need Chromium, and none is on the PATH; on Debian and Ubuntu: apt install chromium"
SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # root has none, and only pages of ours are opened
)
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PROVOKED = "Failed to load resource"
"""What Chromium says of answers such as 503, whoever handles them."""


def find_chromium() -> str | None:
    """The path of the browser, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def is_required() -> bool:
    """Whether its absence is a failure."""
    return os.environ.get("CI") == "true"


@contextmanager
def open_browser(path: str) -> Iterator["Browser"]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Someone with a browser of their own, whose tabs are watched.

    Attributes:
        expects_trouble: Whether answers that are errors belong to what is tested.
    """

    context: "BrowserContext"
    base: str
    expects_trouble: bool = False
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def open(self, place: str = "") -> "Page":
        """A new tab at a place of the console, such as ``#/compare``."""
        page = self.context.new_page()
        page.on("request", self._note_request)
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.goto(f"{self.base}/{place}")
        return page

    def check(self) -> None:
        """Nothing was asked of another host, and nothing complained."""
        strangers = self.hosts - {urlsplit(self.base).netloc}
        assert not strangers, strangers
        left = [each for each in self.complaints if not (self.expects_trouble and PROVOKED in each)]
        assert not left, left

    def _note_request(self, request: "Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.netloc)

    def _note_message(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location['url']}")


def serious(page: "Page") -> list[tuple[str, Any]]:
    """What axe finds that keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


@contextmanager
def visiting(browser: "Browser", base: str, *, dark: bool = False, narrow: bool = False) -> Iterator[Visitor]:
    """A visitor of the service at ``base``, checked in the end."""
    context = browser.new_context(
        viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(60_000)  # generous, since the machine may be busy
    try:
        visitor = Visitor(context, base)
        yield visitor
        visitor.check()
    finally:
        context.close()
