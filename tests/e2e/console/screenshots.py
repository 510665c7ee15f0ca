"""The pictures of the console in ``docs/``: ``make screenshots`` draws them with the families that ship."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog.card import SHIPPED_CHECKPOINTS
from tests.e2e.console.browser import MISSING, WIDE, expect, find_chromium, open_browser, visiting
from tests.e2e.stack import Stack, is_ready
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = ROOT / "docs"
JOB = {
    "teacher": "digits/8-step",
    "method": "pd",
    "name": "digits-mine",
    "iterations": 24,
    "batch_size": 8,
    "learning_rate": 2e-4,
    "evaluate": {"samples": 100},
}
LONG_S = 900


def main() -> int:
    """Returns the exit code: 2, with one line, where there is no browser."""
    path = find_chromium()
    if path is None:
        print(MISSING, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), SHIPPED_CHECKPOINTS, FEWSTEP_DEFAULT_MODEL="cifar10", FEWSTEP_SLICE_S="60")
        stack.start("distiller")
        try:
            wait_until(lambda: is_ready(stack.api), timeout_s=LONG_S, what="ready")
            job = stack.api.post("/distill-jobs", json=JOB).json()["links"]["self"]
            wait_until(lambda: stack.api.get(job).json()["round"] > 1, timeout_s=LONG_S, what="the second round")
            with (
                open_browser(path) as browser,
                visiting(browser, f"http://127.0.0.1:{stack.ports['api']}") as light,
                visiting(browser, light.base, dark=True) as dark,
            ):
                wait_until(lambda: stack.api.get(job).json()["iteration"] > 15, timeout_s=LONG_S, what="its middle")
                page = light.open(f"#{job.replace('distill-jobs', 'jobs')}")
                expect(page.get_by_role("img", name="Samples of the student of 4 steps")).to_be_visible()
                save(page, "console-job", height=900)
                page.goto(f"{light.base}/#/generate?steps=1&n=24&seed=7")
                expect(page.get_by_text("On the way")).to_be_visible()
                save(page, "console-generate", height=760)
                page = dark.open("#/compare?teacher=64&n=4&seed=20")
                expect(page.get_by_role("img", name="Seed 23, cifar10, 64 steps")).to_be_visible(timeout=1000 * LONG_S)
                save(page, "console-compare", height=900)
        finally:
            stack.close()
    return 0


def save(page: "Page", name: str, *, height: int) -> None:
    """So many pixels of a page, from its top."""
    page.wait_for_timeout(500)  # for fonts and plots
    page.screenshot(path=DOCS / f"{name}.png", clip={"x": 0, "y": 0, "width": WIDE["width"], "height": height})


if __name__ == "__main__":
    sys.exit(main())
