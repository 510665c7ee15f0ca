"""The console of a service that wants a key: asked for once, sent with everything, and never in an address."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.access import edit
from core.access.keys import Scope
from tests.app.conftest import Api
from tests.e2e.console.browser import expect, serious, visiting
from tests.jobs import acquire, make_job, round_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

pytestmark = pytest.mark.slow


@pytest.fixture
def api(tmp_path: Path, tiny_family: Path) -> Iterator[Api]:
    """An API with a model, and no worker."""
    shutil.copytree(tiny_family, tmp_path / "checkpoints" / "digits")
    running = Api(tmp_path)
    yield running
    running.close()


def test_a_visitor_with_a_key_sees_their_own_and_leaves_it_nowhere(
    browser: "Browser", api: Api, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    secret = edit.add(file, "vera", scopes=[Scope.DISTILL, Scope.GENERATE])
    job = make_job(owner="vera", name="veras")
    api.jobs.create(job, max_active=9)
    api.jobs.tell(job.id, acquire(api.jobs, job), lease_s=900, rounds=[round_of(job, 2).model_dump()])
    picture = api.artifact(str(round_of(job, 2).samples))
    picture.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[3] / "docs" / "digits-1-step.png", picture)
    process, client = api.start(FEWSTEP_API_KEYS_FILE=str(file))
    addresses: list[str] = []

    def note(request: "Request") -> None:
        addresses.append(request.url)

    with visiting(browser, str(client.base_url).rstrip("/")) as visitor:
        visitor.expects_trouble = True
        page = visitor.open("#/jobs")
        page.on("request", note)
        expect(page.get_by_role("status").get_by_text("A key is wanted")).to_be_visible()
        assert serious(page) == []
        page.get_by_label("Key", exact=True).fill("fewstep_wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("alert").get_by_text("There is no such key")).to_be_visible()
        page.get_by_label("Key", exact=True).fill(secret)
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("link", name="veras").click()
        samples = page.get_by_role("img", name="Samples of the student of 2 steps")
        expect(samples).to_have_attribute("width", "222")
        page.goto(f"{visitor.base}/#/models/digits/1-step")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "digits-1-step.zip"
        page.goto(f"{visitor.base}/#/generate")
        expect(page.get_by_text('Authorization: Bearer $FEWSTEP_API_KEY"')).to_be_visible()
        assert secret not in page.content()
        assert addresses
        assert not [address for address in addresses if secret in address]

        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_label("Key", exact=True)).to_be_visible()
    client.close()
    process.stop()
    assert secret not in process.log.read_text()
