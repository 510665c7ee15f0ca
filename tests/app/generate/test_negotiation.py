from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.generate.negotiation import choose_media_type, prefers_async
from core.errors import NotAcceptable
from core.generation.request import MediaType

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", MediaType.JSON),
        ("*/*", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("image/png", MediaType.PNG),
        ("IMAGE/PNG", MediaType.PNG),
        ("image/*", MediaType.WEBP),
        ("image/*, image/webp;q=0.1", MediaType.PNG),
        ("image/png;q=0.5, image/jpeg;q=0.9", MediaType.JPEG),
        ("image/png; q=0.5, application/zip", MediaType.ZIP),
        ("application/x-npy, application/json", MediaType.NPY),
        ("application/json, application/x-npy", MediaType.JSON),
        ("image/png, */*", MediaType.PNG),
        ("*/*, image/png", MediaType.PNG),
        ("application/json;q=0, */*;q=0.1", MediaType.WEBP),
        ("text/html, image/jpeg;q=0.001", MediaType.JPEG),
        ("image/png;q=nonsense, image/jpeg;q=0.2", MediaType.JPEG),
        (BROWSER, MediaType.WEBP),
    ],
)
def test_the_best_of_what_is_acceptable(accept: str, expected: MediaType) -> None:
    assert choose_media_type(accept, "webp") is expected


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/gif", "*/*;q=0", "audio/*"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        choose_media_type(accept, "png")
    assert caught.value.problem()["allowed"] == list(MediaType)


@given(st.text(st.sampled_from("imagepnjsq/*;,=0.9 +\x00é")))
def test_any_header_gives_an_answer_or_406(accept: str) -> None:
    with suppress(NotAcceptable):
        assert choose_media_type(accept, "png") in MediaType


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ([], False),
        (["respond-async"], True),
        (["wait=10, Respond-Async"], True),
        (["wait=10", "respond-async; foo=bar"], True),
        (["respond-asynchronously"], False),
        (["return=minimal"], False),
    ],
)
def test_prefer(prefer: list[str], expected: bool) -> None:
    assert prefers_async(prefer) is expected
