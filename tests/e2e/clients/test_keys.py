"""Both clients at a service that asks for keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.access import edit
from core.access.keys import Scope
from fewstep_client import Client, Forbidden, InvalidRequest, NotFound, Unauthorized
from tests.e2e.stack import Stack, is_ready
from tests.processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def url(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """Of an API that knows the keys of the file beside it."""
    stack.start("api-keyed", FEWSTEP_API_KEYS_FILE=str(tmp_path / "keys.json"))
    yield f"http://127.0.0.1:{stack.ports['api-keyed']}"
    stack.stop("api-keyed")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """By what they may do."""
    return {scope: edit.add(tmp_path / "keys.json", scope, scopes=[scope]) for scope in Scope}


def test_the_client_sends_its_key_and_says_what_it_lacks(
    keys: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(url, api_key=keys["generate"]) as client:
        wait_until(lambda: is_ready(client._http), what="the keyed API")
        assert client.generate(steps=1, seed=3)[0].data
        first = client.submit(steps=1, seed=3, idempotency_key="mine")
        assert client.submit(steps=1, seed=3, idempotency_key="mine").id == first.id
        with pytest.raises(InvalidRequest) as used:
            client.submit(steps=1, seed=4, idempotency_key="mine")
        assert used.value.field == "Idempotency-Key"
        assert len(first.wait()) == 1
        with pytest.raises(Forbidden, match="scope distill"):
            client.distill("digits/4-step")
    monkeypatch.setenv("FEWSTEP_API_KEY", keys["distill"])
    with Client(url) as other, pytest.raises(NotFound):
        other.generation(first.id).wait()
    monkeypatch.delenv("FEWSTEP_API_KEY")
    with Client(url) as stranger, pytest.raises(Unauthorized):
        stranger.models()


def test_openais_client_sends_its_key_and_knows_what_is_refused(keys: dict[str, str], url: str, stack: Stack) -> None:
    import openai

    with openai.OpenAI(base_url=f"{url}/v1", api_key=keys["generate"], max_retries=8) as client:
        (one,) = client.images.generate(model="digits:1", prompt="", extra_body={"seed": 3}).data or []
        assert one.b64_json == stack.api.post("/generate", json={"steps": 1, "seed": 3}).json()["images"][0]["data"]
        with pytest.raises(openai.AuthenticationError) as unknown:
            client.with_options(api_key="fewstep_wrong").images.generate(prompt="")
        assert unknown.value.code == "invalid_api_key"
        assert "bearer" in unknown.value.response.headers["www-authenticate"].lower()
        with pytest.raises(openai.PermissionDeniedError, match="scope generate"):
            client.with_options(api_key=keys["distill"]).images.generate(prompt="")
