"""Every error over HTTP: a problem document that names the field and what is allowed."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.e2e.stack import HASTY_DEADLINE_S, MAX_IMAGES, Stack
from tests.problems import problem

JSON = {"Content-Type": "application/json"}


def test_unknown_model_lists_the_models(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"model": "cats"}), 404)
    assert (document["field"], document["allowed"]) == ("model", ["classes", "digits"])
    assert document["instance"] == "/generate"


def test_steps_without_a_student_list_those_there_are(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"steps": 3}), 422)
    assert (document["field"], document["allowed"]) == ("steps", [1, 2, 4, 8])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": "4"}, "steps"),
        ({"steps": 4.0}, "steps"),
        ({"steps": None}, "steps"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"format": "gif"}, "format"),
        ({"layout": "row"}, "layout"),
        ({"model": 7}, "model"),
        ({"class_label": -1}, "class_label"),
    ],
)
def test_a_wrong_value_names_its_field_and_what_is_allowed(
    api: httpx.Client, body: dict[str, object], field: str
) -> None:
    document = problem(api.post("/generate", json=body), 422)
    assert document["field"] == field
    assert [error["field"] for error in document["errors"]] == [field]
    assert document["errors"][0]["allowed"]
    assert document["errors"][0]["detail"]


def test_a_class_that_the_model_does_not_have(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"model": "classes", "steps": 1, "class_label": 3}), 422)
    assert (document["field"], document["allowed"]) == ("class_label", {"minimum": 0, "maximum": 2})
    document = problem(api.post("/generate", json={"class_label": 0}), 422)
    assert document["field"] == "class_label"
    assert "not class-conditional" in document["detail"]


def test_several_wrong_values_are_all_named(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"steps": 0, "n": "many"}), 422)
    assert {error["field"] for error in document["errors"]} == {"steps", "n"}


def test_an_unknown_field_lists_the_known(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"step": 4}), 422)
    assert document["field"] == "step"
    assert document["allowed"] == [
        "model",
        "checkpoint",
        "steps",
        "n",
        "seed",
        "class_label",
        "format",
        "layout",
        "priority",
        "webhook",
    ]


def test_too_many_images(api: httpx.Client) -> None:
    document = problem(api.post("/generate", json={"n": MAX_IMAGES + 1}), 422)
    assert (document["field"], document["allowed"]["maximum"]) == ("n", MAX_IMAGES)


def test_the_last_seed_counts(api: httpx.Client) -> None:
    assert api.post("/generate", json={"seed": 2**32 - 2, "n": 2}).status_code == 200
    assert problem(api.post("/generate", json={"seed": 2**32 - 2, "n": 3}), 422)["field"] == "seed"


def test_images_by_themselves_are_no_picture(api: httpx.Client) -> None:
    body = {"n": 2, "layout": "images"}
    document = problem(api.post("/generate", json=body, headers={"Accept": "image/png"}), 422)
    assert (document["field"], document["allowed"]) == ("layout", ["grid"])


def test_nothing_acceptable_lists_what_there_is(api: httpx.Client) -> None:
    document = problem(api.post("/generate", headers={"Accept": "text/html, image/png;q=0"}), 406)
    assert "image/png" in document["allowed"]


@pytest.mark.parametrize("body", [b"{", b"{'n': 1}", b"\xff\xfe", b"[" * 60000])
def test_malformed_json(api: httpx.Client, body: bytes) -> None:
    problem(api.post("/generate", content=body, headers=JSON), 400)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"digits"', b'{"n": NaN}'])
def test_json_of_another_shape(api: httpx.Client, body: bytes) -> None:
    assert problem(api.post("/generate", content=body, headers=JSON), 422)["field"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_json(api: httpx.Client, content_type: str) -> None:
    document = problem(api.post("/generate", content=b"{}", headers={"Content-Type": content_type}), 415)
    assert document["allowed"] == ["application/json"]


def test_a_large_body(api: httpx.Client) -> None:
    document = problem(api.post("/generate", content=b" " * 65537, headers=JSON), 413)
    assert document["allowed"] == {"maximum_bytes": 65536}
    assert api.post("/generate", content=b"{}" + b" " * 65534, headers=JSON).status_code == 200


def test_a_large_chunked_body_is_not_read_to_its_end(api: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**30:
            sent += 2**16
            yield b" " * 2**16

    with suppress(httpx.WriteError):  # the server may hang up before we read its answer
        problem(api.post("/generate", content=endless(), headers=JSON), 413)
    assert sent < 2**26


def test_a_large_chunked_body_is_a_problem(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.ports["api"])) as connection:
        head = "POST /generate HTTP/1.1", "Host: x", "Content-Type: application/json", "Transfer-Encoding: chunked"
        connection.sendall("\r\n".join((*head, "", "")).encode() + b"10001\r\n" + b" " * 0x10001 + b"\r\n")
        connection.settimeout(20)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_wrong_path_and_wrong_method(api: httpx.Client) -> None:
    problem(api.get("/nowhere"), 404)
    response = api.put("/generate")
    assert problem(response, 405)["allowed"] == response.headers["allow"].split(", ")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_generation_says_how_long_results_are_kept(api: httpx.Client, method: str) -> None:
    assert "3600 seconds" in problem(api.request(method, f"/generate/{'0' * 32}"), 404)["detail"]
    problem(api.request(method, "/generate/queued"), 404)


def test_unknown_checkpoint_lists_those_there_are(api: httpx.Client) -> None:
    document = problem(api.get("/models/digits/3-step"), 404)
    assert document["allowed"] == ["teacher", "8-step", "4-step", "2-step", "1-step"]
    assert problem(api.get("/models/cats/1-step"), 404)["allowed"] == ["classes", "digits"]
    problem(api.get("/models/digits/..%2f..%2fetc"), 404)


def test_deadline(stack: Stack) -> None:
    hasty = stack.hasty  # which takes some seconds to start, and the sampler is missed after six
    stack.processes["sampler"].freeze()
    try:
        started = time.monotonic()
        document = problem(hasty.post("/generate"), 504)
        assert time.monotonic() - started >= HASTY_DEADLINE_S
    finally:
        stack.processes["sampler"].thaw()
    assert "deadline" in document["detail"]


def test_a_damaged_checkpoint_says_so_and_harms_no_other(stack: Stack) -> None:
    weights = stack.checkpoints / "torn" / "4-step" / "unet" / "diffusion_pytorch_model.safetensors"
    copy_family(stack, "torn")
    weights.write_bytes(weights.read_bytes()[:-1])
    wait_for_catalog()
    document = problem(stack.api.post("/generate", json={"model": "torn"}), 500)
    assert document["title"] == "Damaged checkpoint"
    assert "SHA-256" in document["detail"]
    assert stack.api.post("/generate", json={"model": "torn", "steps": 1}).status_code == 200
    assert stack.api.post("/generate").status_code == 200


def test_a_damaged_card_says_so_and_harms_no_other(stack: Stack) -> None:
    copy_family(stack, "scrawled")
    (stack.checkpoints / "scrawled" / "4-step" / "card.json").write_text("{}")
    wait_for_catalog()
    document = problem(stack.api.post("/generate", json={"model": "scrawled"}), 500)
    assert (document["title"], document["field"]) == ("Damaged checkpoint", "model")
    assert stack.api.post("/generate").status_code == 200


def copy_family(stack: Stack, name: str) -> None:
    shutil.copytree(stack.checkpoints / "digits", stack.checkpoints / name)


def wait_for_catalog() -> None:
    time.sleep(1.1)
