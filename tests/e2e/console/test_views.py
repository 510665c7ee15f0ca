"""Every view: for those who cannot see or point, in the dark, on a phone, with strange names, over a thin line."""

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from app.console.assets import PAGE, assets, version
from tests.e2e.console.browser import expect, serious, visiting
from tests.e2e.stack import Stack
from tests.processes import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

VIEWS = {
    "generate": "On the way",
    "compare": "The same noise in every row",
    "jobs": "No job yet.",
    "jobs/new": "Start the job",
    "models": "From each teacher",
    "models/classes/1-step": "Weights' SHA-256",
    "system": "Images/s, last minute",
}
"""Each view with words that it shows once it is complete."""
STRANGE = "<img src=x onerror=alert(1)>"
MOST_BYTES = 100_000


@pytest.fixture
def base(stack: Stack) -> str:
    """Where the console is."""
    return f"http://127.0.0.1:{stack.ports['api']}"


@pytest.fixture
def strange_family(stack: Stack) -> Iterator[str]:
    """A family whose names are markup."""
    folder = stack.checkpoints / STRANGE
    shutil.copytree(stack.checkpoints / "classes", folder)
    for card in folder.glob("*/card.json"):
        facts = json.loads(card.read_text())
        card.write_text(json.dumps(facts | {"class_names": [STRANGE, "b", "c"], "data": STRANGE, "command": STRANGE}))
    yield STRANGE
    shutil.rmtree(folder)


def test_words_stand_apart(browser: "Browser", base: str) -> None:
    """Templates lose spaces at the ends of lines."""
    with visiting(browser, base) as visitor:
        expect(visitor.open("#/models/classes/1-step").get_by_text("rows, of which it walks 2")).to_be_visible()
        expect(visitor.open("#/system").get_by_text("0 waiting, 0 in hand").first).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_keeps_anybody_out_and_a_phone_is_wide_enough(browser: "Browser", base: str, dark: bool) -> None:
    with visiting(browser, base, dark=dark, narrow=dark) as visitor:
        page = visitor.open()
        for place, words in VIEWS.items():
            page.goto(f"{base}/#/{place}")
            expect(page.get_by_text(words).first).to_be_visible()
            assert serious(page) == [], place
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        page.goto(f"{base}/#/generate?n=1&steps=1")
        page.get_by_role("button", name="Seed 7: open large").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert serious(page) == []


def test_it_is_used_by_keyboard_alone(browser: "Browser", base: str) -> None:
    with visiting(browser, base) as visitor:
        page = visitor.open("#/generate?n=2&steps=4&seed=9")
        expect(page.get_by_role("button", name="Seed 9: open large")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Family")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("heading", name="2 pictures in 2 steps")).to_be_visible()
        page.get_by_role("button", name="Seed 9: open large").press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()


def test_names_are_never_markup(browser: "Browser", base: str, stack: Stack, strange_family: str) -> None:
    wait_until(lambda: stack.api.get("/models").text.count("onerror") > 1, what="the family")
    with visiting(browser, base) as visitor:
        page = visitor.open("#/generate?n=2&steps=1")
        page.get_by_label("Family").select_option(strange_family)
        expect(page.get_by_text(f"{strange_family}/1-step, fp32")).to_be_visible()
        page.get_by_label("Class").select_option(label=strange_family)
        for place in (f"compare?family={strange_family}", f"models/{strange_family}/1-step", "jobs/new", "jobs/<b>x"):
            visitor.expects_trouble = place == "jobs/<b>x"
            page.goto(f"{base}/#/{place}")
            shown = page.get_by_role("alert") if visitor.expects_trouble else page.get_by_text("<img src=x").first
            expect(shown.first).to_be_attached()
            expect(page.locator("main")).to_contain_text("<b>x" if visitor.expects_trouble else strange_family)
        assert page.locator("img[src=x]").count() == 0


def transferred(page: "Page") -> dict[str, int]:
    """Bytes that came over the line for the page and all that it asked for, by path."""
    script = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
        .map((one) => [new URL(one.name).pathname, one.transferSize])"""
    return dict(page.evaluate(script))


def test_the_first_pictures_come_over_a_thin_line_and_files_only_once(browser: "Browser", base: str) -> None:
    with visiting(browser, base) as visitor:
        page = visitor.open()
        expect(page.get_by_text("On the way")).to_be_visible()
        sizes = transferred(page)
        assert "/generate" in sizes
        assert sum(sizes.values()) < MOST_BYTES, sizes
        assert not any("uplot" in path for path in sizes)
        page.reload()
        expect(page.get_by_text("On the way")).to_be_visible()
        assert sum(size for path, size in transferred(page).items() if path.startswith("/console/")) == 0
        policy = page.request.get(base).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_every_file_of_the_page_is_served_as_it_is(stack: Stack) -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file() and path.name not in ("index.html", "manifest.json")]
    assert {path.relative_to(PAGE).as_posix() for path in files} == {*assets()} - {"index.html"}
    for path in files:
        answer = stack.api.get(f"/console/{version()}/{path.relative_to(PAGE).as_posix()}")
        assert answer.content == path.read_bytes()
        assert "immutable" in answer.headers["cache-control"]
    old = stack.api.get("/console/of-old/main.js")
    assert old.headers["cache-control"] == "no-cache"
    again = stack.api.get("/console/of-old/main.js", headers={"If-None-Match": old.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert stack.api.get(f"/console/{version()}/none.js").status_code == 404
