"""What is uploaded comes whole or not at all, under names that are free; what a worker says of it, the tests say."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from core.access import edit
from core.access.keys import Scope
from core.catalog.datasets import DatasetFacts
from core.catalog.serving import Made
from core.connections import text
from core.jobs.record import JobState
from core.uploads.record import Upload, UploadState
from core.uploads.store import MAX_TRIES, UploadStore
from tests.app.conftest import SHAPE, Api
from tests.app.wire import CLOSED, connection, read
from tests.jobs import TTL_S, make_card
from tests.problems import problem
from tests.processes import wait_until

MOST = 3_000_000
FACTS = DatasetFacts(name="", image_shape=SHAPE, images=9, num_classes=3, fingerprint=64 * "9")


@pytest.fixture(scope="module")
def small(_running: Api) -> Iterator[httpx.Client]:
    """An API that takes uploads of three megabytes, and two of them."""
    changes = {"FEWSTEP_MAX_UPLOAD_BYTES": str(MOST), "FEWSTEP_MAX_UPLOADS": "2", "FEWSTEP_BODY_TIMEOUT_S": "1"}
    process, client = _running.start(**changes)
    yield client
    client.close()
    process.stop()


def digest(content: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"}


def put(client: httpx.Client, path: str, content: bytes, **headers: str) -> httpx.Response:
    return client.put(path, content=content, headers=headers)


def left(api: Api) -> list[str]:
    """Files that uploads have left."""
    places = (api.folder / "artifacts" / "uploads", api.folder / "incoming")
    return [str(file) for place in places for file in place.rglob("*") if file.is_file()]


@pytest.fixture(autouse=True)
def _nothing_there(api: Api) -> None:
    """Files of earlier tests are none of the next one's."""
    for file in left(api):
        (api.folder / file).unlink()


def look(api: Api, state: UploadState = UploadState.READY, **found: object) -> Upload:
    """As a worker does."""
    store = UploadStore(api.redis)
    upload = store.take("w1", lease_s=60)
    assert upload is not None
    assert store.settle(upload.id, "w1", state, **found)  # type: ignore[arg-type]
    return upload


def test_a_file_is_received_looked_at_and_listed_like_what_lies_in_folders(api: Api) -> None:
    content = 3_000_000 * b"x"
    response = api.client.put("/datasets/photos?size=8", content=content, headers=digest(content))
    assert response.status_code == 202, response.text
    document = response.json()
    assert response.headers["location"] == f"/uploads/{document['id']}"
    assert (document["state"], document["bytes"], document["asked"]) == ("received", 3_000_000, {"size": 8})
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert api.artifact(f"uploads/{document['id']}/received/photos").read_bytes() == content
    assert len(left(api)) == 1
    assert "yet to be looked at" in api.client.get("/datasets/photos").json()["error"]
    refused = problem(api.client.post("/training-jobs", json={"kind": "teacher", "data": "photos"}), 422)
    assert "yet to be looked at" in refused["detail"]

    look(api, facts=FACTS)
    answer = api.client.get(response.headers["location"])
    assert "retry-after" not in answer.headers
    assert answer.json()["state"] == "ready"
    found = api.client.get("/datasets/photos").json()
    assert (found["images"], found["error"], found["upload"]["state"]) == (9, None, "ready")
    names = [one["name"] for one in api.client.get("/datasets").json()["datasets"]]
    assert "photos" in names
    body = {"kind": "classifier", "data": "photos", "iterations": 1, "name": "mine"}
    job = api.client.post("/training-jobs", json=body).json()
    record = api.jobs.read(job["id"])
    assert record is not None
    assert record.job.data_ref is not None
    assert record.job.data_ref.size == 8

    used = problem(api.client.delete("/datasets/photos"), 409)
    assert job["id"] in used["detail"]
    assert job["id"] in problem(put(api.client, "/datasets/photos", b"other"), 409)["detail"]
    api.client.post(f"/training-jobs/{job['id']}/cancel")
    assert api.client.delete("/datasets/photos").status_code == 204
    problem(api.client.delete("/datasets/photos"), 404)
    problem(api.client.get("/datasets/photos"), 404)
    assert left(api) == []


def test_what_is_refused_says_why(api: Api) -> None:
    response = put(api.client, "/datasets/photos", b"no pictures")
    look(api, UploadState.REFUSED, reason="neither a zip nor anything else")
    document = api.client.get(response.headers["location"]).json()
    assert (document["state"], document["reason"]) == ("refused", "neither a zip nor anything else")
    assert api.client.get("/datasets/photos").json()["error"] == "neither a zip nor anything else"
    again = put(api.client, "/datasets/photos", b"no pictures")
    assert again.json()["state"] == "received"
    assert again.json()["id"] != document["id"]


def test_the_same_again_is_the_same_and_another_takes_its_place(api: Api) -> None:
    first = put(api.client, "/datasets/photos", b"one")
    again = put(api.other, "/datasets/photos", b"one")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    look(api, facts=FACTS)
    assert put(api.client, "/datasets/photos", b"one").status_code == 200
    other = put(api.client, "/datasets/photos", b"two")
    assert other.json()["id"] != first.json()["id"]
    assert problem(api.client.get(first.headers["location"]), 404)["field"] == "id"
    assert len(api.client.get("/uploads").json()["uploads"]) == 1


def test_of_many_at_once_one_has_the_name_whole(api: Api) -> None:
    contents = [bytes([index]) * 2_000_000 for index in range(8)]

    def send(index: int) -> int:
        client = (api.client, api.other)[index % 2]
        return put(client, "/datasets/photos", contents[index]).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(send, range(8)))
    assert answers <= {202, 409}
    (upload,) = UploadStore(api.redis).all()
    kept = api.artifact(upload.file).read_bytes()
    assert kept in contents
    assert hashlib.sha256(kept).hexdigest() == upload.sha256
    discarded = {text(key) for key in api.redis.smembers("fewstep:artifacts:discarded")}
    others = [file for file in left(api) if upload.id not in file]
    assert all(any(f"/{key}/" in file for key in discarded) for file in others)


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
def test_a_forged_file_leaves_nothing(api: Api, header: str) -> None:
    wrong = digest(b"another")["Content-Digest"]
    document = problem(put(api.client, "/datasets/photos", b"content", **{header: wrong}), 422)
    assert document["field"] == header
    assert hashlib.sha256(b"content").hexdigest() in document["detail"]
    for value in ("sha-256=:AAAA:", "md5=:AAAA:", "x"):
        assert problem(put(api.client, "/datasets/photos", b"content", **{header: value}), 422)["field"] == header
    problem(put(api.client, "/datasets/photos", b""), 422)
    problem(put(api.client, "/datasets/photos", b"x", **{"Content-Encoding": "gzip"}), 422)
    assert left(api) == []
    assert api.client.get("/uploads").json() == {"uploads": []}


def test_what_is_too_large_or_too_much_leaves_nothing(api: Api, small: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield 1_000_000 * b"x"

    for content in ((MOST + 1) * b"x", pieces()):
        document = problem(small.put("/datasets/photos", content=content), 413)
        assert document["allowed"] == {"maximum_bytes": MOST}
    assert left(api) == []
    for name in ("one", "two"):
        assert put(small, f"/datasets/{name}", MOST * b"x").status_code == 202
    assert problem(put(small, "/datasets/three", b"x"), 429)["allowed"] == {"maximum": 2}
    assert len(left(api)) == 2


def test_what_is_cut_off_or_stops_leaves_nothing(api: Api, small: httpx.Client) -> None:
    head = b"PUT /datasets/photos HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with connection(small) as wire:
        wire.sendall(head + 1_500_000 * b"x")
    with connection(small) as wire:
        wire.sendall(head + 1_500_000 * b"x")
        assert wire.recv(12) == b"HTTP/1.1 408"
    wait_until(lambda: not left(api), what="nothing left")
    time.sleep(0.1)
    assert UploadStore(api.redis).all() == []
    assert put(small, "/datasets/photos", b"whole").status_code == 202


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/datasets/Photos", 422, "name"),
        ("/datasets/..photos", 422, "name"),
        ("/datasets/digits", 409, "name"),
        ("/datasets/synthetic", 409, "name"),
        ("/datasets/pictures", 409, "name"),
        ("/datasets/photos?size=0", 422, "size"),
        ("/datasets/photos?side=8", 422, "side"),
        ("/models/digits/mine", 409, "family"),
        ("/models/mine/A", 422, "checkpoint"),
        ("/models/mine/download", 422, "checkpoint"),
        ("/models/mine/teacher?prediction_type=x", 422, "prediction_type"),
        ("/classifiers/grey", 409, "name"),
        ("/classifiers/gr%20ey", 422, "name"),
    ],
)
def test_names_that_cannot_be_had(api: Api, path: str, status: int, field: str) -> None:
    assert problem(put(api.client, path, b"x"), status)["field"] == field
    assert left(api) == []


def test_a_checkpoint_serves_under_a_name_that_no_job_takes_any_more(api: Api) -> None:
    assert put(api.client, "/models/mine/teacher", b"x").status_code == 202
    assert put(api.client, "/models/mine/8-step", b"y").status_code == 202
    body = {"teacher": "digits/teacher", "name": "mine"}
    assert problem(api.client.post("/distill-jobs", json=body), 409)["field"] == "name"
    assert "is received" in problem(api.client.get("/models/mine/teacher"), 404)["detail"]
    upload = UploadStore(api.redis).take("w1", lease_s=60)
    assert upload is not None
    made = Made(card=make_card(8), artifact=upload.made, job=upload.id)
    assert UploadStore(api.redis).settle(upload.id, "w1", UploadState.READY, made=made)
    assert api.client.get(f"/models/{upload.name}").json()["num_steps"] == 8
    for name in ("teacher", "8-step"):
        assert api.client.delete(f"/models/mine/{name}").status_code == 204
    problem(api.client.get(f"/models/{upload.name}"), 404)
    assert api.client.post("/distill-jobs", json=body).status_code == 202
    assert problem(put(api.client, "/models/mine/teacher", b"x"), 409)["field"] == "family"


def test_a_worker_that_dies_leaves_it_to_another_and_the_third_to_nobody(api: Api) -> None:
    put(api.client, "/datasets/photos", b"x")
    store = UploadStore(api.redis)
    for worker in ("w1", "w2", "w3")[:MAX_TRIES]:
        api.redis.set(f"fewstep:worker:{worker}", "{}")
        upload = store.take(worker, lease_s=60)
        assert upload is not None
        assert store.take("w9", lease_s=60) is None, "it is looked at"
        assert store.keep(upload.id, worker, lease_s=60)
        api.redis.delete(f"fewstep:worker:{worker}")
    (upload,) = store.all()
    assert not store.settle(upload.id, "w1", UploadState.READY)
    assert store.take("w9", lease_s=60) is None
    assert "each of which ended its worker" in api.client.get("/datasets/photos").json()["error"]


def test_uploads_belong_to_their_key(api: Api) -> None:
    file = api.folder / "keys.json"
    try:
        keys = {name: edit.add(file, name, scopes=[Scope.DISTILL]) for name in ("ada", "bob")}
        keys |= {"eve": edit.add(file, "eve", scopes=[Scope.ADMIN]), "gus": edit.add(file, "gus", scopes=["generate"])}
        process, client = api.start(FEWSTEP_API_KEYS_FILE=str(file))

        def ask(who: str, method: str, path: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {keys[who]}"} if who else {}
            content = who.encode() if method == "PUT" else None
            return client.request(method, path, headers=headers, content=content)

        assert ask("", "PUT", "/datasets/photos").status_code == 401
        assert ask("gus", "PUT", "/datasets/photos").status_code == 403
        where = ask("ada", "PUT", "/datasets/photos").headers["location"]
        look(api, facts=FACTS)
        seen = {who: ask(who, "GET", where).status_code for who in keys}
        assert seen == {"ada": 200, "bob": 404, "eve": 200, "gus": 404}
        assert ask("bob", "GET", "/datasets/photos").status_code == 404
        assert ask("bob", "PUT", "/datasets/photos").status_code == 409
        assert ask("bob", "DELETE", "/datasets/photos").status_code == 404
        assert ask("ada", "PUT", "/models/mine/teacher").status_code == 202
        assert ask("bob", "PUT", "/models/mine/8-step").status_code == 409
        assert ask("bob", "GET", "/models/mine/teacher").status_code == 404
        assert ask("bob", "GET", "/uploads").json() == {"uploads": []}
        assert ask("eve", "DELETE", "/datasets/photos").status_code == 204
        client.close()
        process.stop()
    finally:
        file.unlink(missing_ok=True)


def test_a_cancelled_job_lets_go(api: Api) -> None:
    put(api.client, "/datasets/photos", b"x")
    look(api, facts=FACTS)
    body = {"kind": "teacher", "data": "photos", "iterations": 1, "multipliers": [1]}
    job = api.client.post("/training-jobs", json=body).json()
    assert api.jobs.cancel(job["id"], ttl_s=TTL_S) is JobState.CANCELLED
    assert api.client.delete("/datasets/photos").status_code == 204


def test_who_is_refused_is_not_listened_to_for_long(api: Api) -> None:
    head = b"PUT /datasets/digits HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with connection(api.client) as wire:
        wire.sendall(head + 1000 * b"x")
        status, headers, _ = read(wire)
        assert (status, headers["connection"]) == (409, "close")
        assert wire.recv(1) == CLOSED
