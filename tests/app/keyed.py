"""An API that asks for keys, without workers, and a client for each of a few keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from core.access import edit
from core.access.keys import Scope
from tests.processes import NO_TLS

if TYPE_CHECKING:
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
            self.clients[name] = httpx.Client(base_url=self.base, timeout=60, headers=headers, verify=NO_TLS)
        return self.clients[name]


@contextmanager
def asking_for_keys(running: Api, file: Path) -> Iterator[Keyed]:
    """One more process of an API, with a file of keys."""
    secrets = {name: edit.add(file, name, **facts) for name, facts in HOLDERS.items()}
    process, client = running.start(FEWSTEP_API_KEYS_FILE=str(file), FEWSTEP_WEBHOOK_SECRET="whsec_" + 43 * "a" + "=")
    keyed = Keyed(running, file, str(client.base_url), process.log, secrets)
    yield keyed
    for each in (client, *keyed.clients.values()):
        each.close()
    process.stop()
