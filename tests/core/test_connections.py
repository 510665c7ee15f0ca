"""What clients do while Redis refuses or moves."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import connect, connect_async
from core.refusals import Refused
from core.settings import Settings
from tests.processes import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


class Proxy:
    """An address that leads to one server or another; open connections stay where they are."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with source, sink, suppress(OSError):  # the other direction may have closed both
        while data := source.recv(65536):
            sink.sendall(data)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Redis, Redis]]:
    """Two primaries."""
    servers = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name))
    with Redis.from_url(servers[0].url) as old, Redis.from_url(servers[1].url) as new:
        yield old, new
    for server in servers:
        server.stop()


async def test_after_a_failover_every_connection_is_made_anew(pair: tuple[Redis, Redis]) -> None:
    old, new = pair
    old_port, new_port = (int(redis.connection_pool.connection_kwargs["port"]) for redis in pair)
    proxy = Proxy(old_port)
    settings = Settings(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    api: AsyncRedis = connect_async(settings)
    with connect(settings, is_ending=lambda: False) as patient, connect(settings, patient=False) as brief:
        async with api:
            for client in (patient, brief):
                client.set("before", 1)
            await api.set("before", 1)
            old.replicaof("127.0.0.1", new_port)
            with pytest.raises(Refused) as refused:
                brief.set("between", 1)
            assert refused.value.code == "READONLY"
            with pytest.raises(Refused):
                await api.set("between", 1)
            threading.Timer(0.3, lambda: setattr(proxy, "target", new_port)).start()
            patient.set("patient", 1)
            brief.set("brief", 1)
            await api.set("api", 1)
            assert {b"patient", b"brief", b"api"} <= set(new.keys())
    proxy.close()


def test_a_patient_client_gives_up_when_its_process_ends(redis_settings: Settings) -> None:
    ending = threading.Event()
    with connect(redis_settings, is_ending=ending.is_set) as patient, connect(redis_settings) as other:
        patient.ping()
        other.config_set("min-replicas-to-write", 1)
        try:
            threading.Timer(0.5, ending.set).start()
            with pytest.raises(Refused) as refused, patient.pipeline() as pipe:
                pipe.set("a", 1).set("b", 2).execute()
            assert refused.value.code == "NOREPLICAS"
        finally:
            other.config_set("min-replicas-to-write", 0)
        with patient.pipeline() as pipe:
            assert pipe.set("a", 1).set("b", 2).execute() == [True, True]
