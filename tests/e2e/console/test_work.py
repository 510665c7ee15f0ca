"""Jobs as a visitor sees them: from the form to a student that serves, whatever dies meanwhile."""

import re
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.console.browser import Visitor, expect, serious, visiting
from tests.e2e.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

LONG_MS = 480_000


@pytest.fixture
def visitor(browser: "Browser", distilling: Stack) -> Iterator[Visitor]:
    """Somebody at the service that distils, whose student of 4 steps has forgotten everything."""
    with visiting(browser, f"http://127.0.0.1:{distilling.ports['api']}") as someone:
        yield someone


def fill(page: "Page", **fields: str) -> None:
    """Type into the form of a job."""
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def test_what_is_wrong_is_said_at_its_field(visitor: Visitor) -> None:
    visitor.expects_trouble = True
    page = visitor.open("#/jobs")
    page.get_by_role("link", name="New job").click()
    fill(page, Iterations="many", Learning_rate="2")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("alert").get_by_text("what is wrong stands at its fields")).to_be_visible()
    for label, words in (("Iterations", "valid integer"), ("Learning rate", "less than or equal to 1")):
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(words))
    expect(page.get_by_label("Iterations", exact=True)).to_be_focused()

    fill(page, Iterations="", Learning_rate="", To_steps="3", Name="digits")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_label("To steps", exact=True)).to_have_accessible_description(
        re.compile("does not lead.*It may be 4, 2, 1")
    )
    fill(page, To_steps="")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_label("Name", exact=True)).to_have_accessible_description(re.compile("There is a family"))
    page.get_by_label("Method").select_option("pd")
    expect(page.get_by_label("Temperature")).to_be_hidden()
    expect(page.get_by_label("Classifier")).to_be_hidden()


def test_a_student_is_made_served_promoted_and_rolled_back(visitor: Visitor) -> None:
    page = visitor.open("#/jobs/new?teacher=digits/8-step&method=pd")
    fill(page, Name="seen", Iterations="8", Batch_size="8", Learning_rate="0.000001", To_steps="2")
    fill(page, Samples_to_judge_by="50")
    page.get_by_label("Promote").select_option("always")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", name="seen")).to_be_visible()

    beside = visitor.open("#" + page.url.partition("#")[2])
    expect(page.get_by_role("img", name=re.compile("Loss over"))).to_be_visible(timeout=LONG_MS)
    page.reload()  # in the middle, or at its end: the curve is there
    for tab in (page, beside):
        expect(tab.get_by_role("img", name=re.compile("Loss over"))).to_be_visible()
        expect(tab.get_by_text("The job is succeeded.")).to_be_visible(timeout=LONG_MS)
        expect(tab.get_by_text(re.compile(r"Serves 4 steps of digits since \d"))).to_be_visible()
        expect(tab.get_by_text("16 of 16")).to_be_visible()
    samples = page.get_by_role("img", name="Samples of the student of 4 steps")
    expect(samples).to_have_attribute("width", re.compile(r"\d{2,}"))
    assert samples.evaluate("image => image.clientWidth % image.naturalWidth") == 0

    assert serious(page) == []

    page.get_by_role("link", name="Sample it").first.click()
    expect(page.get_by_text("seen/2-step, fp32")).to_be_visible()
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("link", name="seen/4-step", exact=True)).to_be_visible()
    visitor.expects_trouble = True  # a card that is asked for at the moment when its promotion is undone
    for steps in (4, 2):
        row = page.get_by_role("row", name=f"seen/{steps}-step")
        row.get_by_role("button", name="Roll back").click()
        expect(row).to_be_hidden()

    beside.get_by_role("button", name="Delete").click()
    beside.get_by_role("button", name="Yes").click()
    expect(beside.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    expect(beside.get_by_role("link", name="seen", exact=True)).to_be_hidden()


def test_a_job_goes_on_after_a_killed_worker_and_its_events_after_a_killed_api(
    visitor: Visitor, distilling: Stack
) -> None:
    visitor.expects_trouble = True
    page = visitor.open("#/jobs/new?teacher=digits/8-step&method=pd&iterations=50000&batch_size=4")
    fill(page, Name="endless")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("img", name=re.compile("Loss over"))).to_be_visible(timeout=LONG_MS)
    distilling.stop("distiller", signal.SIGKILL)
    distilling.start("distiller")
    distilling.stop("api", signal.SIGKILL)
    expect(page.get_by_text("Service lost")).to_be_visible()
    distilling.start("api")
    expect(page.get_by_role("log").get_by_text("Its worker is gone")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("log").get_by_role("listitem").first).to_contain_text("is saved", timeout=LONG_MS)
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()

    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The job is cancelled.")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("button", name="Go on with it")).to_be_visible()
    page.get_by_role("button", name="Go on with it").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
