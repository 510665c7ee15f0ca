"""The official client of OpenAI against our `/v1`, and what it makes of what goes wrong."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.stack import Stack
from tests.problems import problem

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.slow


@pytest.fixture
def client(stack: Stack) -> Iterator["OpenAI"]:
    """One that never asks again."""
    import openai

    with openai.OpenAI(base_url=f"{stack.api.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def sampled(stack: Stack, **body: object) -> list[str]:
    """What ``/generate`` answers, in base64."""
    return [image["data"] for image in stack.api.post("/generate", json=body).json()["images"]]


def test_pictures_are_those_of_generate_byte_for_byte(stack: Stack, client: "OpenAI") -> None:
    asked: dict[str, Any] = {"model": "digits:2", "prompt": "a note", "n": 3, "size": "8x8", "user": "me"}
    answer = client.images.generate(**asked, response_format="b64_json", extra_body={"seed": 5})
    assert [one.b64_json for one in answer.data] == sampled(stack, steps=2, n=3, seed=5)
    assert [one.seed for one in answer.data] == [5, 6, 7]
    assert (answer.size, answer.output_format) == ("8x8", "png")
    assert answer.created > 1_700_000_000
    asked = {"prompt": "", "size": "auto", "output_format": "webp"}
    answer = client.images.generate(**asked, extra_body={"steps": 1, "seed": 9})
    assert [one.b64_json for one in answer.data] == sampled(stack, steps=1, seed=9, format="webp")


@pytest.mark.anyio
async def test_its_asynchronous_client_gets_the_same(stack: Stack) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=f"{stack.api.base_url}/v1", api_key="none") as client:
        answer = await client.images.generate(model="digits", prompt="", extra_body={"seed": 3})
        assert answer.data is not None
        assert [one.b64_json for one in answer.data] == sampled(stack, steps=4, seed=3)
        assert {model.id async for model in client.models.list()} >= {"digits", "digits:1", "classes:2"}


def test_prompt_names_a_class_where_there_are_classes(stack: Stack, client: "OpenAI") -> None:
    import openai

    def pictures(prompt: str) -> list[str | None]:
        answer = client.images.generate(model="classes:1", prompt=prompt, n=2, extra_body={"seed": 4})
        return [one.b64_json for one in answer.data or []]

    assert pictures("2") == sampled(stack, model="classes", steps=1, n=2, seed=4, class_label=2)
    assert pictures(" ") == sampled(stack, model="classes", steps=1, n=2, seed=4)
    with pytest.raises(openai.UnprocessableEntityError, match="3 classes") as refused:
        pictures("a cat")
    assert refused.value.param == "prompt"
    assert refused.value.body is not None


def test_each_model_that_is_listed_can_be_asked(client: "OpenAI") -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == [
        *("classes:1", "classes:2", "digits", "digits:1", "digits:2", "digits:4", "digits:8")
    ]
    for model in listed:
        assert client.models.retrieve(model.id) == model
        answer = client.images.generate(model=model.id, prompt="")
        assert base64.b64decode((answer.data or [])[0].b64_json or "").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("asked", "kind", "param", "words"),
    [
        ({"model": "cats"}, "NotFoundError", "model", "digits"),
        ({"model": "digits:3"}, "UnprocessableEntityError", "model", "it has 1, 2, 4, 8"),
        ({"extra_body": {"steps": 3}}, "UnprocessableEntityError", "steps", "it has 1, 2, 4, 8"),
        ({"model": "digits:2", "extra_body": {"steps": 1}}, "UnprocessableEntityError", "steps", "names 2 steps"),
        ({"size": "1024x1024"}, "UnprocessableEntityError", "size", "8x8"),
        ({"response_format": "url"}, "UnprocessableEntityError", "response_format", "b64_json"),
        ({"n": 0}, "UnprocessableEntityError", "n", "greater than or equal to 1"),
        ({"n": 99_999}, "UnprocessableEntityError", "n", "at most"),
        ({"extra_body": {"seed": 2**32}}, "UnprocessableEntityError", "seed", "less than or equal"),
        ({"style": "vivid"}, "UnprocessableEntityError", "style", "no such field"),
        ({"extra_query": {"n": 2}}, "UnprocessableEntityError", "n", "belongs to the body"),
    ],
)
def test_what_is_refused_names_the_field(
    client: "OpenAI", asked: dict[str, Any], kind: str, param: str, words: str
) -> None:
    import openai

    with pytest.raises(getattr(openai, kind), match=words) as refused:
        client.images.generate(**{"prompt": "", **asked})
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert refused.value.request_id
    assert refused.value.code == ("model_not_found" if kind == "NotFoundError" else "invalid_request")


def test_every_error_below_it_has_its_shape_and_no_other_path_has(stack: Stack) -> None:
    path, headers = "/v1/images/generations", {"Content-Type": "application/json"}
    problem(stack.api.post(path, content=b"{", headers=headers), 400)
    problem(stack.api.get("/v1/none"), 404)
    assert problem(stack.api.get(path), 405)["allowed"] == ["POST"]
    assert stack.api.get(path).headers["allow"] == "POST"
    problem(stack.api.post(path, content=b" " * 70_000, headers=headers), 413)
    problem(stack.api.post(path, content=b"{}"), 415)
    assert problem(stack.hasty.post(path, json={"n": 4000, "steps": 8}), 504)["code"] == "deadline_passed"
    for path in ("/v1", "/none", "/generate/none"):
        assert stack.api.get(path).headers["content-type"] == "application/problem+json"


def test_without_a_worker_it_is_told_when_to_ask_again(stack: Stack, client: "OpenAI") -> None:
    import openai

    stack.stop("sampler")
    with pytest.raises(openai.InternalServerError, match="no sampling worker") as refused:
        client.images.generate(prompt="")
    assert (refused.value.status_code, refused.value.type) == (503, "server_error")
    assert int(refused.value.response.headers["retry-after"]) > 0
