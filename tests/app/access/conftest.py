"""An API that asks for keys, without workers, and a client for each of a few keys."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from core.access import edit
from core.access.keys import Scope
from tests.app.conftest import Api

HOLDERS: dict[str, dict[str, Any]] = {
    "gina": {"scopes": [Scope.GENERATE]},
    "dora": {"scopes": [Scope.DISTILL]},
    "both": {"scopes": [Scope.GENERATE, Scope.DISTILL]},
    "ada": {"scopes": [Scope.ADMIN]},
    "few": {"scopes": [Scope.ADMIN], "rate": "3/day"},
    "ten": {"scopes": [Scope.GENERATE], "images_per_day": 10},
    "brief": {"scopes": [Scope.DISTILL], "training_seconds_per_day": 60},
}


@dataclass
class Keyed:
    """The API, and a client for each holder of a key, for nobody and for a wrong key."""

    api: Api
    file: Path
    base: str
    log: Path
    secrets: dict[str, str] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def client(self, name: str) -> httpx.Client:
        """With the key of that name, ``wrong`` or ``none``."""
        if name not in self.clients:
            secret = self.secrets.get(name, "fewstep_wrong")
            headers = {} if name == "none" else {"Authorization": f"Bearer {secret}"}
            self.clients[name] = httpx.Client(base_url=self.base, timeout=60, headers=headers)
        return self.clients[name]


@pytest.fixture(scope="module")
def _keyed(_running: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    secrets = {name: edit.add(file, name, **facts) for name, facts in HOLDERS.items()}
    process, client = _running.start(FEWSTEP_API_KEYS_FILE=str(file), FEWSTEP_WEBHOOK_SECRET="whsec_" + 43 * "a" + "=")
    keyed = Keyed(_running, file, str(client.base_url), process.log, secrets)
    yield keyed
    for each in (client, *keyed.clients.values()):
        each.close()
    process.stop()


@pytest.fixture
def keyed(_keyed: Keyed) -> Keyed:
    """The same without any job, generation or count."""
    _keyed.api.clear()
    return _keyed


@pytest.fixture
def redis(keyed: Keyed) -> Redis:
    """Its Redis."""
    return keyed.api.redis
