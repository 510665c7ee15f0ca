"""Images by the package `fewstep_client`, against the running service."""

import asyncio
import io
import signal
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from fewstep_client import AsyncClient, Cancelled, Client, Images, InvalidRequest, NotFound, ServiceLost, Unavailable
from tests.e2e.stack import Stack
from tests.processes import free_port

pytestmark = pytest.mark.slow


def test_images_are_the_services_and_show_themselves(client: Client, stack: Stack, tmp_path: Path) -> None:
    images = client.generate(steps=2, n=3, seed=5)
    body = {"steps": 2, "n": 3, "seed": 5}
    pixels = np.load(_file(tmp_path, stack.api.post("/generate", json=body, headers={"Accept": "application/x-npy"})))
    np.testing.assert_array_equal(images.to_numpy(), pixels)
    assert [image.seed for image in images] == [5, 6, 7]
    assert (images.model, images.checkpoint, images.steps, images.precision) == ("digits", "2-step", 2, "fp32")
    assert 0 < images.timings["sample"] <= images.timings["total"] < 60
    first = images[0]
    assert first.to_pil().size == (8, 8)
    png = first._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
    assert images._repr_html_().count('<img src="data:image/png;base64,') == 3
    images.save(tmp_path / "all")
    assert (tmp_path / "all" / "6.png").read_bytes() == images[1].data
    assert client.generate(steps=2, seed=5, format="jpeg")[0]._repr_png_() is None


class Terminal(io.StringIO):
    """What is shown to somebody who sits there."""

    def isatty(self) -> bool:
        return True


def test_more_than_a_request_may_have_are_submitted_and_their_progress_is_shown(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = client.submit(steps=1, n=600, seed=0, model="classes", class_label=1)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    images = client.generation(generation.id).wait()
    monkeypatch.undo()
    assert terminal.getvalue().split("\r")[-1].rstrip() == f"[{24 * '#'}] 100% 600 images"
    assert generation.wait(progress=False).images == images.images
    assert [image.seed for image in images] == list(range(600))
    assert images[599].data == client.generate(steps=1, seed=599, model="classes", class_label=1)[0].data
    generation.cancel()
    with pytest.raises(Cancelled):
        generation.wait()


def test_what_is_refused_names_field_and_what_is_allowed(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="no checkpoint for 3 steps") as refused:
        client.generate(steps=3)
    assert (refused.value.field, refused.value.allowed, refused.value.status) == ("steps", [1, 2, 4, 8], 422)
    assert refused.value.request_id
    with pytest.raises(NotFound) as unknown:
        client.generate(model="cats")
    assert unknown.value.allowed == ["classes", "digits"]
    assert {model.name for model in client.models()} == {"classes", "digits"}


def test_a_busy_service_is_asked_again_when_it_says(client: Client, stack: Stack) -> None:
    stack.stop("sampler")
    with Client(str(stack.api.base_url), retries=0) as hasty, pytest.raises(Unavailable) as refused:
        hasty.generate(steps=1)
    assert refused.value.retry_after
    found: list[Images] = []
    patient = Client(str(stack.api.base_url), retries=60)
    waiting = threading.Thread(target=lambda: found.append(patient.generate(steps=1, seed=3)))
    waiting.start()
    stack.ensure_ready()
    waiting.join()
    patient.close()
    assert found[0][0].data == client.generate(steps=1, seed=3)[0].data


def test_a_service_that_starts_anew_is_found_again_and_one_that_is_not_there_is_said(stack: Stack) -> None:
    with Client(str(stack.api.base_url), retries=8) as client:
        generation = client.submit(steps=1, n=2, seed=1)
        stack.stop("api", signal.SIGKILL)
        stack.start("api")
        assert len(generation.wait()) == 2
    nowhere = f"http://user:secret@127.0.0.1:{free_port()}"
    with Client(nowhere, retries=1) as client, pytest.raises(ServiceLost, match="does not answer") as lost:
        client.generate()
    assert "secret" not in str(lost.value)


def test_the_asynchronous_client_does_several_things_at_once(client: Client, stack: Stack) -> None:
    async def ask() -> list[Images]:
        async with AsyncClient(str(stack.api.base_url)) as client:
            generation = await client.submit(steps=1, n=2, seed=8)
            return list(
                await asyncio.gather(client.generate(seed=1), client.generate(seed=2), generation.wait(progress=False))
            )

    first, second, third = asyncio.run(ask())
    assert first[0].data == client.generate(seed=1)[0].data
    assert second[0].data == client.generate(seed=2)[0].data
    assert third.images == client.generate(steps=1, n=2, seed=8).images


def test_a_key_is_sent_as_bearer_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_API_KEY", "of-the-environment")
    for client, key in ((Client(api_key="given"), "given"), (Client(), "of-the-environment")):
        assert client._http.headers["Authorization"] == f"Bearer {key}"
        assert key not in repr(client)


def _file(folder: Path, response: httpx.Response) -> Path:
    path = folder / "images.npy"
    path.write_bytes(response.content)
    return path
