"""Generate and Compare as a visitor sees them."""

import base64
import contextlib
import io
import re
import shlex
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.e2e.console.browser import Visitor, expect, visiting
from tests.e2e.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

START_MS = 180_000
"""Of a process, on a machine that has much else to do."""


@pytest.fixture
def visitor(browser: "Browser", stack: Stack) -> Iterator[Visitor]:
    """Somebody at the service that samples."""
    with visiting(browser, f"http://127.0.0.1:{stack.ports['api']}") as someone:
        yield someone


def pictures(page: "Page") -> list[str]:
    """What is shown, in base64."""
    sources = page.locator(".gallery img").evaluate_all("images => images.map(image => image.src)")
    return [source.partition(",")[2] for source in sources]


def sampled(stack: Stack, **body: Any) -> list[str]:  # noqa: ANN401
    """What the API itself answers."""
    return [image["data"] for image in stack.api.post("/generate", json=body).json()["images"]]


def test_pictures_follow_the_controls_and_a_link_shows_the_same(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open()
    expect(page.get_by_role("heading", name="16 pictures in 4 steps")).to_be_visible()
    page.get_by_text("1", exact=True).click()
    expect(page.get_by_role("heading", name="16 pictures in 1 step")).to_be_visible()
    assert pictures(page) == sampled(stack, steps=1, n=16, seed=7)

    page.get_by_role("button", name="Next seed").click()
    expect(page.get_by_role("button", name="Seed 8: open large")).to_be_visible()
    expect(page.get_by_role("button", name="Seed 7: open large")).to_be_hidden()
    shown = pictures(page)
    assert shown == sampled(stack, steps=1, n=16, seed=8)
    page.reload()
    expect(page.get_by_role("button", name="Seed 8: open large")).to_be_visible()
    assert pictures(page) == shown
    other = visitor.open(page.url.partition("/#")[2] and "#" + page.url.partition("#")[2])
    expect(other.get_by_role("button", name="Seed 8: open large")).to_be_visible()
    assert pictures(other) == shown

    # Each tab has a state of its own; what is typed fast leaves the last alone.
    for _ in range(12):
        other.get_by_role("button", name="Next seed").click(no_wait_after=True)
    expect(other.get_by_role("button", name="Seed 35: open large")).to_be_visible()
    expect(other.get_by_role("button", name="Seed 8: open large")).to_be_hidden()
    assert pictures(other) == sampled(stack, steps=1, n=16, seed=20)
    assert pictures(page) == shown
    page.get_by_role("button", name="New seed").click()
    expect(page.get_by_role("button", name="Seed 8: open large")).to_be_hidden()


def test_a_class_is_chosen_where_there_are_classes(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open("#/generate?steps=1&n=2&seed=3")
    expect(page.get_by_role("heading", name="2 pictures in 1 step")).to_be_visible()
    expect(page.get_by_label("Class")).to_be_hidden()
    page.get_by_label("Family").select_option("classes")
    page.get_by_label("Class").select_option("2")
    expect(page).to_have_url(re.compile("class=2"))
    expected = sampled(stack, model="classes", steps=1, n=2, seed=3, class_label=2)
    expect(page.locator(".gallery img").first).to_have_attribute("src", f"data:image/png;base64,{expected[0]}")
    assert pictures(page) == expected


def test_a_picture_opens_large_with_what_is_known_of_it(visitor: Visitor) -> None:
    page = visitor.open("#/generate?steps=2&n=3&seed=5")
    page.get_by_role("button", name="Seed 6: open large").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_accessible_name("Picture of seed 6")
    for words in ("digits", "2-step", "fp32", "Sampling", "On the way"):
        expect(dialog.get_by_text(words).first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Seed 7")).to_be_visible()
    # Each pixel of 8 by 8 a square of a whole number of the screen's.
    width = dialog.get_by_role("img").first.evaluate("image => image.clientWidth")
    assert width % 8 == 0
    assert width >= 256
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_downloads_and_snippets_are_the_request_that_is_shown(visitor: Visitor, stack: Stack, tmp_path: Path) -> None:
    page = visitor.open("#/generate?steps=2&n=3&seed=5")
    expect(page.get_by_role("heading", name="3 pictures in 2 steps")).to_be_visible()
    files = {}
    for kind in ("PNG", "zip", "npy"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        files[kind] = Path(download.value.path()).read_bytes()
    assert files["PNG"].startswith(b"\x89PNG")
    assert zipfile.ZipFile(io.BytesIO(files["zip"])).namelist() == ["5.png", "6.png", "7.png"]
    images = np.load(io.BytesIO(files["npy"]))
    assert images.shape == (3, 8, 8, 3)

    words = shlex.split(page.get_by_role("tabpanel").inner_text())
    assert words[0] == "curl"
    headers = dict(words[index + 1].split(": ") for index, word in enumerate(words) if word == "-H")
    answer = stack.api.post(words[2], content=words[words.index("-d") + 1], headers=headers)
    assert answer.content == files["PNG"]
    alone = sampled(stack, steps=2, n=3, seed=5)
    scope = ran(page, "Python client", tmp_path)
    assert [base64.b64encode(image.data).decode() for image in scope["images"]] == alone
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["5.png", "6.png", "7.png"]
    scope = ran(page, "OpenAI", tmp_path)
    assert [base64.b64encode(picture).decode() for picture in scope["pictures"]] == alone
    page.get_by_label("Family").select_option("classes")
    page.get_by_label("Class").select_option("2")
    expect(page.get_by_role("tabpanel")).to_contain_text('prompt="2"')
    scope = ran(page, "OpenAI", tmp_path)
    pictures = [base64.b64encode(picture).decode() for picture in scope["pictures"]]
    assert pictures == sampled(stack, model="classes", steps=2, n=3, seed=5, class_label=2)


def ran(page: "Page", kind: str, folder: Path) -> dict[str, Any]:
    """What a snippet in Python leaves, run in a folder."""
    page.get_by_role("tab", name=kind).click()
    scope: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(page.get_by_role("tabpanel").inner_text(), scope)
    scope["client"].close()
    return scope


def test_seeds_stand_in_rows_and_the_teacher_is_sampled_on_the_bulk_lane(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open("#/compare?n=2&seed=3&teacher=1024&with=classes")
    expect(page.get_by_role("progressbar", name="Teacher sampled")).to_be_visible()
    few, many = (page.get_by_role("img", name=f"Seed 4, digits, {steps} steps") for steps in (2, 1024))
    expect(few).to_be_visible()
    shown = str(few.get_attribute("src")).partition(",")[2]
    assert shown == sampled(stack, steps=2, seed=4)[0]
    expect(many).to_be_visible()
    assert base64.b64decode(str(many.get_attribute("src")).partition(",")[2]).startswith(b"\x89PNG")
    for words in ("digits", "classes", "Teacher", "Fréchet distance"):
        expect(page.get_by_role("table").get_by_text(words).first).to_be_visible()
    page.get_by_label("Teacher").select_option("0")
    expect(many).to_be_hidden()
    expect(page).to_have_url(re.compile("teacher=0"))


def test_a_lost_service_and_a_lost_worker_are_said_and_found_again(visitor: Visitor, stack: Stack) -> None:
    visitor.expects_trouble = True
    page = visitor.open("#/generate?steps=1&n=2&seed=3")
    expect(page.get_by_role("button", name="Seed 3: open large")).to_be_visible()
    stack.stop("api", signal.SIGKILL)
    expect(page.get_by_text("Service lost")).to_be_visible()
    page.get_by_role("button", name="Next seed").click()
    expect(page.get_by_role("alert").get_by_text("The service does not answer.")).to_be_visible()
    stack.start("api")
    expect(page.get_by_role("button", name="Seed 4: open large")).to_be_visible(timeout=START_MS)
    expect(page.get_by_role("alert")).to_be_hidden()

    stack.stop("sampler", signal.SIGKILL)
    expect(page.get_by_text("No sampling worker", exact=True)).to_be_visible()
    page.get_by_role("button", name="Next seed").click()
    expect(page.get_by_role("alert").get_by_text("No sampling worker is there.")).to_be_visible()
    stack.start("sampler")
    expect(page.get_by_role("button", name="Seed 6: open large")).to_be_visible(timeout=START_MS)
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
