"""Connections to whoever is to be told: to addresses that were looked at, and for a limited time in all."""

import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION, NetworkStream, SyncBackend

from core.webhooks.addresses import resolve


class CheckedBackend(SyncBackend):
    """Connects to addresses of a name that may be posted to, and to no other: certificates are still the name's."""

    def __init__(self, allowed: Sequence[str], *, until: float) -> None:
        """Let networks through that a setting allows; ``until`` is by the monotonic clock."""
        self._allowed, self._until = allowed, until

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """A connection to the first address that takes one.

        Raises:
            Refused: The name has an address that may not be posted to.
        """
        failed: Exception | None = None
        for address in resolve(host, port, self._allowed):
            try:
                stream = super().connect_tcp(address, port, _left(timeout, self._until), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Bounded(stream, self._until)
        raise failed or httpcore.ConnectError(f"{host} has no address")


class _Bounded(NetworkStream):
    """A stream that ends in time, however slowly something comes."""

    def __init__(self, stream: NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, self._until)), self._until)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("it took too long")
    return left if timeout is None else min(timeout, left)
