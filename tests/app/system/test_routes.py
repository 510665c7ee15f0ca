"""``/system`` and ``/methods``: what a page needs to know."""

import pytest

from core import presence
from core.methods.declaration import all_methods
from core.queues import Queue
from tests.app.conftest import Api

pytestmark = pytest.mark.slow


def test_it_says_who_works_and_what_may_be_asked(api: Api) -> None:
    nobody = api.client.get("/system").json()
    assert nobody["queues"]["sampling"] == {"waiting": 0, "in_hand": 0, "oldest_age_s": 0, "workers": []}
    facts = {"host": "h", "device": "cuda:1", "processor": "H100", "torch": "2"}
    presence.announce(api.redis, Queue.SAMPLING, "one", facts, heartbeat_s=5)
    system = api.client.get("/system").json()
    (worker,) = system["queues"]["sampling"]["workers"]
    assert worker == {"name": "one", "host": "h", "device": "cuda:1", "processor": "H100", "facts": facts}
    assert system["jobs"]["running"] == 0
    assert system["limits"]["checkpoint_steps"] == 1024
    assert system["links"] == {"docs": "/docs", "metrics": "/metrics"}
    assert system["recent"]["p95_s"] is None


def test_it_links_what_it_was_told_of(api: Api) -> None:
    process, client = api.start(FEWSTEP_GRAFANA_URL="https://grafana.example/d", FEWSTEP_ROOT_PATH="/fewstep")
    try:
        links = client.get("/fewstep/system").json()["links"]
    finally:
        client.close()
        process.stop()
    assert links == {"docs": "/fewstep/docs", "metrics": "/fewstep/metrics", "grafana": "https://grafana.example/d"}


def test_methods_declare_their_own_fields(api: Api) -> None:
    found = api.client.get("/methods").json()
    assert [method["name"] for method in found["methods"]] == list(all_methods())
    cfd = next(method for method in found["methods"] if method["name"] == "cfd")
    assert cfd["takes_classifier"]
    assert "temperature" in cfd["options"]
    assert found["fields"]["iterations"]["default"] == 1000
    assert "method" not in found["fields"]
