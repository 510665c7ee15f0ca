"""What is asked of ``/distill-jobs`` and cannot be done is refused before anything is queued."""

import shutil
from typing import Any

import pytest

from core.catalog import datasets
from core.catalog.datasets import DatasetFacts
from core.jobs.request import DistillJob
from tests.app.conftest import DATASETS, MAX_ACTIVE_JOBS, SHAPE, Api, write_classifier
from tests.jobs import make_job
from tests.problems import problem

PATH = "/distill-jobs"
TEACHER = "digits/teacher"
METHODS = ["cfd", "pd", "rdd", "sfd"]


@pytest.mark.parametrize(
    ("body", "status", "field", "allowed"),
    [
        # Of the schema.
        ({"teacher": None}, 422, "teacher", {"type": "string"}),
        ({"method": "gan"}, 422, "method", {"enum": METHODS}),
        ({"from_steps": 0}, 422, "from_steps", {}),
        ({"to_steps": "1"}, 422, "to_steps", {"maximum": 512}),
        ({"iterations": 0}, 422, "iterations", {"minimum": 1}),
        ({"batch_size": 0}, 422, "batch_size", {"minimum": 1}),
        ({"learning_rate": 0}, 422, "learning_rate", {"exclusiveMinimum": 0}),
        ({"temperature": 0}, 422, "temperature", {}),
        ({"entropy_share": 2}, 422, "entropy_share", {}),
        ({"seed": -1}, 422, "seed", {"minimum": 0}),
        ({"name": "Mine!"}, 422, "name", {}),
        ({"name": "../mine"}, 422, "name", {}),
        ({"promote": "often"}, 422, "promote", {"default": "never"}),
        ({"evaluate": {"samples": 3}}, 422, "evaluate.samples", {"minimum": 4}),
        ({"evaluate": {"images": 3}}, 422, "evaluate.images", ["samples"]),
        ({"steps": 4}, 422, "steps", None),
        # Of the teacher.
        ({"teacher": "cats/teacher"}, 404, "teacher", ["classes", "digits", "huge", "noise", "odd"]),
        ({"teacher": "digits/cats"}, 404, "teacher", ["teacher", "8-step", "4-step", "2-step", "1-step"]),
        ({"teacher": "digits/../digits/teacher"}, 404, "teacher", None),
        (
            {"teacher": "classes"},
            422,
            "teacher",
            ["classes/2-step", "classes/1-step"],
        ),
        ({"from_steps": 3}, 422, "from_steps", {"minimum": 2, "maximum": 1024, "multipleOf": 2}),
        ({"from_steps": 1}, 422, "from_steps", {"minimum": 2, "maximum": 1024, "multipleOf": 2}),
        ({"teacher": "digits/4-step", "from_steps": 8}, 422, "from_steps", [2, 4]),
        ({"teacher": "digits/1-step"}, 422, "teacher", None),
        ({"teacher": "digits/1-step", "from_steps": 1}, 422, "teacher", None),
        ({"teacher": "odd/15-step"}, 422, "teacher", None),
        ({"teacher": "odd/12-step", "to_steps": 4, "method": "pd"}, 422, "to_steps", [3, 2, 1]),
        ({"to_steps": 3}, 422, "to_steps", [4, 2, 1]),
        ({"to_steps": 8}, 422, "to_steps", [4, 2, 1]),
        ({"to_steps": 16}, 422, "to_steps", [4, 2, 1]),
        ({"teacher": "noise/8-step", "to_steps": 16, "method": "pd"}, 422, "to_steps", [8, 4, 2, 1]),
        # Of the guide.
        ({"guide": "cats/teacher"}, 404, "guide", ["classes", "digits", "huge", "noise", "odd"]),
        ({"guide": "odd/cats"}, 404, "guide", ["worse", "15-step", "12-step"]),
        ({"guide": "odd"}, 422, "guide", ["odd/worse", "odd/15-step", "odd/12-step"]),
        ({"guide": TEACHER}, 422, "guide", ["huge/teacher", "odd/worse"]),
        ({"guide": "digits/8-step"}, 422, "guide", ["huge/teacher", "odd/worse"]),
        ({"guide": "classes/2-step"}, 422, "guide", ["huge/teacher", "odd/worse"]),
        ({"guide": "odd/worse", "teacher": "digits/8-step"}, 422, "guide", []),
        ({"guide": "huge/teacher"}, 422, "guide", None),
        ({"guide": "odd/worse", "guidance": 0.5}, 422, "guidance", {}),
        ({"guidance": 3}, 422, "guidance", None),
        # Of the method.
        ({"method": "pd", "classifier": "digits/classifier"}, 422, "classifier", None),
        ({"method": "pd", "temperature": 0.9}, 422, "temperature", None),
        ({"method": "pd", "dataset_weight": 0}, 422, "dataset_weight", None),
        ({"method": "pd", "entropy_share": 0.5}, 422, "entropy_share", None),
        ({"classifier": "cats"}, 422, "classifier", ["digits/classifier", "digits/judge", "stranger", "twin"]),
        ({"classifier": "damaged"}, 422, "classifier", None),
        ({"classifier": "grey"}, 422, "classifier", ["digits/classifier", "digits/judge", "stranger", "twin"]),
        ({"teacher": "noise/8-step"}, 422, "classifier", ["digits/classifier", "digits/judge", "stranger", "twin"]),
        ({"classifier": "stranger", "dataset_weight": 0.1}, 422, "dataset_weight", {"maximum": 0}),
        (
            {"classifier": "stranger", "dataset_weight": 0.1, "data": "synthetic"},
            422,
            "dataset_weight",
            {"maximum": 0},
        ),
        ({"dataset_weight": 0.1, "data": "labelled"}, 422, "dataset_weight", {"maximum": 0}),
        ({"method": "pd", "loss": "l1"}, 422, "loss", None),
        ({"method": "sfd", "loss": "l2"}, 422, "loss", {}),
        ({"method": "sfd", "temperature": 0.9}, 422, "temperature", None),
        ({"method": "sfd", "classifier": "digits/classifier"}, 422, "classifier", None),
        ({"method": "sfd", "loss": "cfd", "classifier": "grey"}, 422, "classifier", None),
        ({"method": "sfd", "teacher": "digits/8-step", "solver": "dpm++"}, 422, "solver", ["ddim"]),
        ({"method": "sfd", "data": "pictures"}, 422, "data", None),
        ({"method": "sfd", "from_steps": 12, "to_steps": 5}, 422, "to_steps", [6, 4, 3, 2, 1]),
        ({"method": "sfd", "from_steps": 1}, 422, "from_steps", {"minimum": 2, "maximum": 1024}),
        # Of the data.
        ({"data": "cats"}, 422, "data", ["synthetic", "labelled", "pictures"]),
        ({"data": "broken"}, 422, "data", ["synthetic", "labelled", "pictures"]),
        ({"data": "digits"}, 422, "data", ["synthetic", "labelled", "pictures"]),
        (
            {"teacher": "classes/2-step", "from_steps": 2, "method": "pd", "data": "pictures"},
            422,
            "data",
            ["synthetic", "labelled"],
        ),
        # Of sizes.
        ({"iterations": 50_001}, 422, "iterations", {"minimum": 1, "maximum": 50_000}),
        ({"to_steps": 4, "iterations": 100_001}, 422, "iterations", {"minimum": 1, "maximum": 100_000}),
        ({"evaluate": {"samples": 50_001}}, 422, "evaluate.samples", {"minimum": 4, "maximum": 50_000}),
        ({"batch_size": 10**9}, 422, "batch_size", {"minimum": 1}),
        ({"batch_size": 10**30}, 422, "batch_size", {"minimum": 1}),
        ({"teacher": "huge/8-step", "method": "pd"}, 422, "teacher", None),
        # Of promotion.
        ({"promote": "if_better", "evaluate": None}, 422, "promote", ["never", "always"]),
        ({"promote": "if_better", "teacher": "digits/8-step"}, 422, "promote", ["never", "always"]),
        ({"promote": "if_better", "classifier": "digits/judge"}, 422, "classifier", None),
        ({"promote": "if_better", "classifier": "twin"}, 422, "classifier", None),
        # Of names.
        ({"name": "digits"}, 409, "name", None),
        ({"name": "noise"}, 409, "name", None),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(
    api: Api, body: dict[str, Any], status: int, field: str, allowed: object
) -> None:
    document = problem(api.client.post(PATH, json={"teacher": TEACHER} | body), status)
    assert document["field"] == field, document
    assert document["detail"]
    if isinstance(allowed, dict):
        assert allowed.items() <= document["allowed"].items()
    elif allowed is not None:
        assert document["allowed"] == allowed
    assert api.jobs.ids() == []
    assert api.redis.llen("fewstep:distillation") == 0


@pytest.mark.parametrize(
    ("body", "from_steps", "steps"),
    [
        ({"teacher": "digits/teacher"}, 8, [4, 2, 1]),
        ({"teacher": "digits/8-step"}, 8, [4, 2, 1]),
        ({"teacher": "digits/4-step"}, 4, [2, 1]),
        ({"teacher": "digits/2-step"}, 2, [1]),
        ({"teacher": "digits/4-step", "to_steps": 2}, 4, [2]),
        ({"teacher": "odd/12-step", "method": "pd"}, 4, [2, 1]),
        ({"teacher": "odd/12-step", "method": "pd", "to_steps": 3}, 6, [3]),
        ({"teacher": "digits/teacher", "method": "sfd"}, 12, [1]),
        ({"teacher": "digits/teacher", "method": "sfd", "to_steps": 5, "loss": "cfd"}, 20, [5]),
        ({"teacher": "digits/8-step", "method": "sfd", "to_steps": 4}, 8, [4]),
        ({"teacher": "noise/8-step", "method": "pd"}, 8, [8, 4, 2, 1]),
        ({"teacher": "noise/1-step", "method": "pd"}, 1, [1]),
    ],
    ids=str,
)
def test_the_teacher_alone_decides_where_to_start(
    api: Api, body: dict[str, Any], from_steps: int, steps: list[int]
) -> None:
    response = api.client.post(PATH, json=body)
    assert response.status_code == 202, response.text
    job = response.json()
    assert (job["request"]["from_steps"], job["steps"]) == (from_steps, steps)
    spelled_out = api.client.post(PATH, json=body | {"from_steps": from_steps})
    assert spelled_out.json()["steps"] == steps


def test_the_estimated_memory_is_said(api: Api) -> None:
    document = problem(api.client.post(PATH, json={"teacher": TEACHER, "batch_size": 10**6}), 422)
    assert "GiB" in document["detail"]
    most = document["allowed"]["maximum"]
    assert api.client.post(PATH, json={"teacher": TEACHER, "batch_size": most}).status_code == 202
    problem(api.client.post(PATH, json={"teacher": TEACHER, "batch_size": most + 1}), 422)


def test_a_judge_whose_data_are_gone_judges_nobody(api: Api) -> None:
    api.redis.hdel("fewstep:datasets", "pictures")
    assert problem(api.client.post(PATH, json={"teacher": TEACHER, "promote": "if_better"}), 422)["field"] == "promote"
    assert api.client.post(PATH, json={"teacher": TEACHER}).json()["judge"] is None


def test_classes_of_teacher_and_data_are_matched_by_name(api: Api) -> None:
    body = {"teacher": "classes/2-step", "from_steps": 2, "method": "pd"}
    known = {"fewer": ("cat", "fox"), "turned": ("fox", "dog", "cat"), "other": ("cat", "dog", "wolf")}
    told = [
        DatasetFacts(name=name, image_shape=SHAPE, images=9, num_classes=len(names), class_names=names, fingerprint="")
        for name, names in known.items()
    ]
    datasets.tell(api.redis, [*DATASETS, *told])
    document = problem(api.client.post(PATH, json={**body, "data": "other"}), 422)
    assert document["field"] == "data"
    assert document["detail"] == "other: it has classes that the teacher does not know: wolf"
    assert document["allowed"] == ["synthetic", "fewer", "labelled", "turned"]
    for name in ("fewer", "turned"):
        assert api.client.post(PATH, json={**body, "data": name}).status_code == 202


def test_a_classifier_of_other_classes_does_not_know_the_data(api: Api) -> None:
    named = DATASETS[0].model_copy(update={"num_classes": 2, "class_names": ("cat", "wolf")})
    write_classifier(api.folder / "classifiers" / "named", sha256=64 * "6", class_names=("cat", "dog", "fox"))
    try:
        body = {"teacher": TEACHER, "classifier": "named", "data": "pictures"}
        assert api.client.post(PATH, json={**body, "dataset_weight": 0.1}).status_code == 202
        datasets.tell(api.redis, [named, *DATASETS[1:]])
        document = problem(api.client.post(PATH, json={**body, "dataset_weight": 0.1}), 422)
        assert document["field"] == "dataset_weight"
        accepted = api.client.post(PATH, json=body).json()["id"]
        record = api.jobs.read(accepted)
        assert record is not None
        assert isinstance(record.job, DistillJob)
        assert record.job.classifier is not None
        assert not record.job.classifier.knows_data
    finally:
        shutil.rmtree(api.folder / "classifiers" / "named")


def test_a_name_belongs_to_one_job(api: Api) -> None:
    assert api.client.post(PATH, json={"teacher": TEACHER, "name": "mine"}).status_code == 202
    assert problem(api.client.post(PATH, json={"teacher": TEACHER, "name": "mine"}), 409)["field"] == "name"
    assert len(api.jobs.ids()) == 1


def test_too_many_jobs(api: Api) -> None:
    for _ in range(MAX_ACTIVE_JOBS):
        api.jobs.create(make_job(), max_active=MAX_ACTIVE_JOBS)
    response = api.client.post(PATH, json={"teacher": TEACHER})
    assert problem(response, 429)["allowed"] == {"maximum": MAX_ACTIVE_JOBS}
    assert int(response.headers["retry-after"]) > 0


def test_a_request_without_a_body(api: Api) -> None:
    problem(api.client.post(PATH), 422)


@pytest.mark.parametrize("key", [b"", b"a b", 201 * b"k", b"\xe9"])
def test_a_key_that_is_none(api: Api, key: bytes) -> None:
    response = api.client.post(PATH, json={"teacher": TEACHER}, headers={b"Idempotency-Key": key})
    assert problem(response, 422)["field"] == "Idempotency-Key"
    assert api.jobs.ids() == []
