"""The service as Compose starts it, from images under names of their own and with data that go at the end."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.containers.engine import COMMAND_TIMEOUT_S, Engine
from tests.processes import ROOT, wait_until

PROJECT = "fewstep-test"
API_IMAGE, WORKER_IMAGE = f"{PROJECT}-api", f"{PROJECT}-worker"
OURS = {"api": API_IMAGE, "sampler": WORKER_IMAGE, "distiller": WORKER_IMAGE}
SLICE_S = 10
PATIENCE_S = 900  # a distiller gives way to whatever else wants the processor
DISTILLER_MEMORY = 2 * 2**30
ENDS = ("succeeded", "failed", "cancelled")
GRAFANA = "grafana"
PNG = {"Accept": "image/png"}


class Stack:
    """Containers by the name of their service; all are probed, and all of a service are told apart by their names."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self._folder = engine, folder
        # A folder with what Compose reads and nothing else, so that nobody's .env and fewstep.env are in it.
        for part in ("docker", "docs"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "docker-compose.yml", folder)
        services: dict[str, Any] = {name: {"image": image} for name, image in OURS.items()}
        services["distiller"] |= {
            # The network is so small that threads would only wait for each other.
            "environment": {"FEWSTEP_SLICE_S": str(SLICE_S), "OMP_NUM_THREADS": "1"},
            "deploy": {"resources": {"limits": {"memory": str(DISTILLER_MEMORY)}}},
        }
        (folder / "override.yml").write_text(yaml.safe_dump({"services": services}))
        described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.services = ["redis", *OURS, "prometheus"]
        if engine.has_image(described[GRAFANA]["image"]):
            self.services.append(GRAFANA)

    def compose(self, *arguments: str) -> None:
        """Run a command of Compose, which must succeed."""
        command = [*self.engine.compose, "--project-name", PROJECT]
        command += ["--file", "docker-compose.yml", "--file", "override.yml", "--profile", "cpu", *arguments]
        # Ports of the engine's choice, so that nothing is in the way and there may be two of a service.
        chosen = {"REDIS_PASSWORD": "ofatest", "GRAFANA_PASSWORD": "ofatest", "API_PORT": "127.0.0.1:"}
        chosen["GRAFANA_PORT"] = "127.0.0.1:"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FEWSTEP_")}
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=inherited | chosen,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def up(self, *services: str, **scale: int) -> None:
        """Start services, all by default, beside what runs; or as many of one as said."""
        if scale:
            ((service, number),) = scale.items()
            self.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", f"{service}={number}", service)
        else:
            self.compose("up", "--detach", *(services or self.services))

    def containers(self, service: str) -> list[str]:
        """Names of all containers of a service."""
        return self._look("project", PROJECT, "service", service)

    def container(self, service: str) -> str:
        """Name of the only container of a service."""
        (name,) = self.containers(service)
        return name

    def started(self) -> dict[str, str]:
        """When each container was started last."""
        look = ("inspect", "--format", "{{.State.StartedAt}}")
        return {service: self.engine.ask(*look, self.container(service)) for service in self.services}

    def execute(self, service: str, *command: str) -> bytes:
        """What a command in the container of a service prints."""
        return self.engine.run("exec", self.container(service), *command)

    def fetch(self, url: str) -> str:
        """What an address inside the network of the containers answers."""
        code = f"from urllib.request import urlopen; print(urlopen({url!r}).read().decode())"
        return self.execute("api", "python", "-c", code).decode()

    def url(self, container: str | None = None) -> str:
        """Address of an API."""
        published = self.engine.ask("port", container or self.container("api"), "8000").splitlines()[0]
        return f"http://{published.rpartition('->')[2].strip()}"

    def readiness(self) -> dict[str, Any]:
        """The checks of ``/readyz``, none if the API is not ready."""
        try:
            answer = httpx.get(f"{self.url()}/readyz")
        except httpx.TransportError:
            return {}
        checks: dict[str, Any] = answer.json().get("checks", {})
        return checks if answer.status_code == 200 else {}

    def num_workers(self, queue: str) -> int:
        """How many workers the API knows of."""
        return len(self.readiness().get(queue, {}).get("workers", {}))

    def wait_until_whole(self) -> None:
        """Wait until every container is healthy and both workers are known."""

        def whole() -> bool:
            return (
                all(self.num_workers(queue) == 1 for queue in ("sampling", "distillation"))
                and all(len(self.containers(name)) == 1 for name in self.services)
                and all(self.engine.is_healthy(self.container(name)) for name in self.services)
            )

        wait_until(whole, timeout_s=240, what="every container healthy")

    def ensure_whole(self) -> None:
        """Start what a test has ended."""
        if any(len(self.containers(name)) != 1 for name in self.services):
            self.up()
        self.wait_until_whole()

    def picture(self, model: str = "digits", *, steps: int = 1, seed: int = 7, n: int = 16) -> bytes:
        """PNG of a request, which must be answered."""
        body = {"model": model, "steps": steps, "n": n, "seed": seed}
        answer = httpx.post(f"{self.url()}/generate", json=body, headers=PNG, timeout=90)
        assert answer.status_code == 200, answer.text
        return answer.content

    def submit(self, name: str, **changes: Any) -> str:  # noqa: ANN401
        """Path of a new job of one round, whose student serves under the name."""
        body = {"teacher": "digits/4-step", "from_steps": 4, "to_steps": 2, "method": "pd", "name": name}
        body |= {"iterations": 40, "batch_size": 16, "evaluate": None}
        answer = httpx.post(f"{self.url()}/distill-jobs", json=body | changes)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def job(self, path: str) -> dict[str, Any]:
        """What the API says of a job."""
        answer = httpx.get(f"{self.url()}{path}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def wait_for_iteration(self, path: str, least: int) -> None:
        """Wait until a job that has not ended has come so far."""

        def there() -> bool:
            job = self.job(path)
            assert job["state"] not in ENDS, job
            return bool(job["iteration"] >= least)

        wait_until(there, timeout_s=PATIENCE_S, what=f"iteration {least}")

    def ended(self, path: str) -> dict[str, Any]:
        """A job once it has ended."""
        wait_until(lambda: self.job(path)["state"] in ENDS, timeout_s=PATIENCE_S, what=f"the end of {path}")
        return self.job(path)

    def logs(self) -> str:
        """The last lines of every container."""
        tails = []
        for name in self.services:
            for container in self.containers(name):
                done = self.engine.try_run("logs", "--tail", "30", container)
                tails.append(f"== {container}\n{(done.stdout + done.stderr).decode(errors='replace')}")
        return "\n".join(tails)

    def down(self) -> None:
        """End all containers; what they keep stays."""
        # podman-compose knows of the first container of a service alone.
        if second := self._look("project", PROJECT, "container-number", "2"):
            self.engine.run("rm", "--force", "--volumes", *second)
        self.compose("down")

    def remove(self) -> None:
        """End all containers at once, and with them what they keep."""
        # By itself it leaves volumes without a name; what others depend on is left to it.
        self.engine.try_run("rm", "--force", "--volumes", *self._look("project", PROJECT))
        self.compose("down", "--volumes")

    def _look(self, *labels: str) -> list[str]:
        """Names of containers by labels of Compose's and their values."""
        pairs = zip(labels[::2], labels[1::2], strict=True)
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in pairs]
        return self.engine.ask("ps", "--all", *filters, "--format", "{{.Names}}").splitlines()
