"""Ports that are free, and how the processes of one machine are reached."""

import socket
from contextlib import ExitStack


def say(text: str) -> None:
    """Print a line now, also into a pipe."""
    print(text, flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A socket that occupies a port; 0 takes a free one.

    Raises:
        OSError: The port is in use or not allowed, or the host is not of this machine.
    """
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def free_port(held: ExitStack, host: str, preferred: int, purpose: str) -> int:
    """The preferred port if it is free, else another, which is said; ``held`` keeps it from being chosen twice."""
    try:
        return int(held.enter_context(listen(host, preferred)).getsockname()[1])
    except OSError:
        port = int(held.enter_context(listen(host, 0)).getsockname()[1])
        say(f"Port {preferred} is in use; {purpose} takes {port}")
        return port


def reachable(host: str) -> str:
    """A host to connect to for one that is listened on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound here)


def address(host: str, port: int) -> str:
    """Host and port as a URL has them, to connect to what listens there."""
    name = reachable(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
