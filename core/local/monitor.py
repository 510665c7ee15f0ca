"""Prometheus beside ``make run``: ``python -m core.local.monitor``, which ``make monitor`` calls.

It uses a copy of docker/prometheus in ``var/prometheus`` with this machine's targets in place of the containers'.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from core.errors import FewstepError
from core.local.ports import address, free_port, say
from core.settings import Settings, complaint

CONFIGURATION = Path("docker/prometheus")
SERVICE, ITSELF = "service.json", "prometheus.json"
HOST = "127.0.0.1"
RETENTION = "15d"


def write_targets(var: Path, name: str, targets: Mapping[str, str]) -> None:
    """Tell Prometheus, running or not, whom to scrape.

    Args:
        var: Folder of what one machine's run keeps.
        name: File for these targets, whose earlier content is replaced.
        targets: The job of each address, which is a host and a port.
    """
    folder = var / "prometheus" / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"targets": [place], "labels": {"job": job}} for place, job in targets.items()]
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(entries, indent=2))
    partial.replace(folder / name)


def find_prometheus() -> str:
    """Path of Prometheus' binary: on PATH, else where docker/prometheus/install.sh puts it.

    Raises:
        FewstepError: There is none.
    """
    own = Path(sys.prefix) / "prometheus"
    found = shutil.which("prometheus") or shutil.which("prometheus", path=own)
    if found is None:
        raise FewstepError("Prometheus is not installed; `make monitor` installs it, or says how")
    return found


def prepare(settings: Settings) -> list[str]:
    """Write the configuration to ``var/prometheus``, say where Prometheus will be, and return its command.

    Raises:
        FewstepError: Prometheus is not installed, or no service has run that it could watch.
    """
    folder = settings.var.resolve() / "prometheus"
    if not (folder / "targets" / SERVICE).exists():
        raise FewstepError(f"no service has run in {settings.var} that could be watched; start it first: make run")
    binary = find_prometheus()
    with ExitStack() as held:
        port = free_port(held, HOST, settings.prometheus_port, "Prometheus")
    shutil.copytree(CONFIGURATION, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("targets", "*.sh"))
    write_targets(settings.var, ITSELF, {address(HOST, port): "prometheus"})
    say(f"Prometheus will be at http://{address(HOST, port)}, with the alerts under /alerts; Ctrl-C stops it")
    return [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]


def main() -> int:
    """Become Prometheus; returns 2 with one line on stderr when something is in the way."""
    try:
        command = prepare(Settings())
        os.execv(command[0], command)  # noqa: S606
    except ValidationError as error:
        print(complaint(error), file=sys.stderr)
    except (FewstepError, OSError) as error:
        print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
