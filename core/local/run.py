"""Everything on one machine: ``python -m core.local.run``, which ``make run`` calls.

Runs the processes of ``./Procfile`` under supervisor, which starts again what died and stops Redis last; shows their
output; says when the service is ready; and stops them all on Ctrl-C, SIGTERM or when the terminal goes away.
"""

import http.client
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from pydantic import ValidationError

from core.access.listening import check_access
from core.errors import FewstepError
from core.local.follow import follow
from core.local.monitor import SERVICE, write_targets
from core.local.parent_death import only_run, tied_to_parent
from core.local.ports import address, free_port, listen, reachable, say
from core.local.procfile import SUPERVISOR, log_file, read_procfile, supervisor_configuration
from core.settings import Settings, complaint

REDIS = "redis"
WEBHOOKS = "webhooks"
WORKERS = ("SAMPLER", "DISTILLER", "WEBHOOKS")
PATIENCE_SECONDS = 5  # between words about what is not ready yet
SECONDS_BEYOND_DEADLINE = 10


def redis_port(var: Path) -> int:
    """The port that a folder's own Redis prefers.

    The same at every start, so that a client can be pointed at it, and another for another folder: on Redis's usual
    port the workers of two copies of the project would take each other's requests.
    """
    return 20_000 + zlib.crc32(bytes(var.resolve())) % 10_000


def environment(settings: Settings, *, with_redis: bool) -> dict[str, str]:
    """The environment of the processes: this interpreter's ``python`` first, and ports that are free.

    Raises:
        FewstepError: The API's port is not free.
    """
    chosen = {"FEWSTEP_PORT": str(settings.port), "FEWSTEP_VAR": str(settings.var.resolve())}
    with ExitStack() as held:
        try:
            held.enter_context(listen(settings.host, settings.port))
        except OSError as error:
            raise FewstepError(
                f"cannot listen on port {settings.port} of {settings.host}: {os.strerror(error.errno or 0)}; "
                f"choose another with `make run PORT=…`"
            ) from error
        for worker in WORKERS:
            preferred: int = getattr(settings, f"{worker.lower()}_metrics_port")
            if preferred == 0 or (worker == "WEBHOOKS" and not settings.sends_webhooks):
                continue  # asked not to serve them, or not to be there
            purpose = f"/metrics of the {worker.lower()}"
            chosen[f"FEWSTEP_{worker}_METRICS_PORT"] = str(free_port(held, settings.host, preferred, purpose))
        if with_redis:
            port = free_port(held, "127.0.0.1", redis_port(settings.var), "Redis")
            chosen["FEWSTEP_REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, **chosen, "PATH": path, "PYTHONUNBUFFERED": "1"}


def metrics_addresses(settings: Settings, chosen: Mapping[str, str]) -> dict[str, str]:
    """The process that serves its metrics at each host and port, in the environment that was chosen."""
    ports = {worker.lower(): int(chosen.get(f"FEWSTEP_{worker}_METRICS_PORT", 0)) for worker in WORKERS}
    workers = {address("127.0.0.1", port): worker for worker, port in ports.items() if port}
    return {address(settings.host, settings.port): "api", **workers}


def why_not_ready(host: str, port: int) -> str | None:
    """What ``/readyz`` says is missing; None when it answers 200."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        if response.status == http.HTTPStatus.OK:
            return None
        return str(json.load(response)["detail"])
    except (OSError, http.client.HTTPException):
        return "the API does not answer yet"
    except (ValueError, LookupError, TypeError):
        return f"/readyz answers {response.status}"
    finally:
        connection.close()


def announcement(settings: Settings, chosen: Mapping[str, str]) -> str:
    """What a newcomer wants to know once it runs, in the environment that was chosen."""
    url = f"http://{address(settings.host, settings.port)}"
    metrics = [f"http://{place}/metrics" for place in metrics_addresses(settings, chosen)]
    body = '{"model": "cifar10", "steps": 1, "n": 16, "seed": 0}'
    headers = "-H 'Content-Type: application/json' -H 'Accept: image/png'"
    if settings.api_keys_file:
        headers += ' -H "Authorization: Bearer $FEWSTEP_API_KEY"'
    return f"""
Fewstep is ready at {url}/ for your browser
The API's documentation is {url}/docs; Ctrl-C stops it. Metrics: {", ".join(metrics)}
Sixteen pictures in one step:

  curl -sS {url}/generate {headers} -d '{body}' -o pictures.png
"""


def show(logs: dict[str, Iterator[list[str]]], deaths: Counter[str], var: Path) -> None:
    """Print what the processes have written, each line after its process's name, and say who keeps dying."""
    width = max(map(len, logs))
    for name, lines in logs.items():
        for line in next(lines):
            say(f"{name:<{width}} | {line}")
            if name == SUPERVISOR and (died := re.search(r"exited: (\S+) \(", line)):
                deaths[died[1]] += 1
                if deaths[died[1]] % 3 == 0:
                    say(f"{died[1]} has died {deaths[died[1]]} times; its log is {log_file(var, died[1])}")


def attend(
    supervisor: subprocess.Popen[bytes],
    logs: dict[str, Iterator[list[str]]],
    stop: Event,
    settings: Settings,
    chosen: Mapping[str, str],
) -> int:
    """Show the processes' output and wait for readiness, until ``stop`` is set and all have stopped.

    Returns:
        The exit code: 0 when stopped as asked, 1 when the supervisor died of something else.
    """
    deaths: Counter[str] = Counter()
    ready = stopping = False
    patient_until = time.monotonic() + PATIENCE_SECONDS
    while supervisor.poll() is None:
        show(logs, deaths, settings.var)
        if stop.is_set() and not stopping:
            stopping = True
            say("Stopping, once what is being worked on is finished")
            supervisor.terminate()
        elif not (ready or stopping):
            reason = why_not_ready(settings.host, settings.port)
            if reason is None:
                ready = True
                say(announcement(settings, chosen))
            elif time.monotonic() > patient_until:
                patient_until += PATIENCE_SECONDS
                say(f"Waiting: {reason}")
        time.sleep(0.2)
    show(logs, deaths, settings.var)
    say("Stopped" if stopping else "The supervisor died, and its processes with it; start again")
    return 0 if stopping else 1


def run(settings: Settings) -> int:
    """Start, attend and stop the processes of ``./Procfile``; returns the exit code.

    Raises:
        FewstepError: Something is in the way of starting; nothing has been started.
    """
    check_access(settings)
    processes = read_procfile(Path("Procfile"))
    with_redis = not os.environ.get("FEWSTEP_REDIS_URL")
    if not with_redis:
        processes.pop(REDIS, None)
    if not settings.sends_webhooks:
        processes.pop(WEBHOOKS, None)
    var = settings.var.resolve()
    var.mkdir(parents=True, exist_ok=True)
    lock = var / "lock"
    with only_run(lock):
        child_environment = environment(settings, with_redis=with_redis)
        write_targets(var, SERVICE, metrics_addresses(settings, child_environment))
        configuration = var / "supervisor.conf"
        # A request that waits for its picture may take as long as the deadline; the API answers it before it stops.
        seconds = math.ceil(settings.drain_s + settings.deadline_s) + SECONDS_BEYOND_DEADLINE
        text = supervisor_configuration(processes, var=var, lock=lock, seconds_to_stop=seconds)
        configuration.write_text(text)
        logs = {name: follow(log_file(var, name)) for name in [*processes, SUPERVISOR]}
        stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        say(f"Starting {', '.join(processes)}; their logs are also in {settings.var / 'log'}")
        if with_redis:
            say(f"Redis will be at {child_environment['FEWSTEP_REDIS_URL']}")
        command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(configuration)]
        supervisor = subprocess.Popen(  # noqa: S603
            tied_to_parent(command, lock=lock, on_orphaned=signal.SIGTERM),
            env=child_environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the others in order
        )
        try:
            return attend(supervisor, logs, stop, settings, child_environment)
        finally:
            supervisor.terminate()
            supervisor.wait()


def main() -> int:
    """Run until stopped; returns the exit code, 2 with one line on stderr when something is in the way of starting."""
    try:
        return run(Settings())
    except ValidationError as error:
        print(complaint(error), file=sys.stderr)
    except (FewstepError, OSError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
