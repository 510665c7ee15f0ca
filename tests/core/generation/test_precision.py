from typing import Any

from core.generation.precision import describe, disagreements

WORKERS: dict[str, dict[str, Any]] = {
    "a": {"processor": "x86_64 AVX2", "precisions": {"digits/1-step": "fp32", "faces/4-step": "fp32"}},
    "b": {"processor": "x86_64 AVX512 bf16", "precisions": {"digits/1-step": "fp32", "faces/4-step": "bf16"}},
    "c": {"processor": "x86_64 AVX2", "precisions": {"faces/4-step": "fp32", "cars/1-step": "bf16"}},
    "old": {"device": "cpu"},
}


def test_what_is_loaded_in_two_precisions_is_named_with_the_workers() -> None:
    assert disagreements(WORKERS.items()) == {"faces/4-step": {"fp32": ["a", "c"], "bf16": ["b"]}}
    assert describe(WORKERS) == (
        "faces/4-step is sampled in bf16 by b and fp32 by a, c; 2 kinds of devices: x86_64 AVX2, x86_64 AVX512 bf16"
    )


def test_workers_that_agree_and_those_that_do_not_say() -> None:
    agree = {name: WORKERS[name] for name in ("a", "old")}
    assert disagreements(agree.items()) == {}
    assert describe(agree) == describe({}) == "no two sampling workers disagree"
