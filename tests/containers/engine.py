"""Whichever container engine is here: Docker with Compose, or Podman with podman-compose.

``python -m tests.containers.engine`` names it, or says in one line what is missing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT_S = 300
BUILD_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Engine:
    """Commands of an engine; those of one container are the same in all."""

    command: str
    compose: tuple[str, ...]

    def try_run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the engine, whatever comes of it."""
        return subprocess.run([self.command, *arguments], capture_output=True, timeout=COMMAND_TIMEOUT_S)

    def run(self, *arguments: str) -> bytes:
        """What a command of the engine prints, which must succeed."""
        done = self.try_run(*arguments)
        assert done.returncode == 0, f"{self.command} {' '.join(arguments)}: {done.stdout!r} {done.stderr!r}"
        return done.stdout

    def ask(self, *arguments: str) -> str:
        """The same as one text."""
        return self.run(*arguments).decode().strip()

    def build(self, target: str, tag: str, *, root: Path) -> None:
        """Build one target of the Dockerfile, with the base image, the indexes and the wheels that were named."""
        command = [self.command, "build", "--file", "docker/Dockerfile", "--target", target, "--tag", tag]
        for name in ("BASE_IMAGE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            if os.environ.get(name):
                command += ["--build-arg", f"{name}={os.environ[name]}"]
        wheels = os.environ.get("PIP_FIND_LINKS", "")
        if wheels and Path(wheels).is_dir():
            command += ["--build-context", f"wheels={wheels}"]
        done = subprocess.run([*command, "."], cwd=root, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def has_image(self, image: str) -> bool:
        """Whether an image is here or can be had."""
        return not self.try_run("image", "inspect", image).returncode or not self.try_run("pull", image).returncode

    def is_healthy(self, container: str) -> bool:
        """Whether the container's own check says so; where the engine has no timer to ask it with, it is asked here."""
        if self.ask("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy":
            return True
        return self.command == "podman" and self.try_run("healthcheck", "run", container).returncode == 0


class NoEngine(Exception):  # noqa: N818 (what is the case)
    """The text says what is missing."""


def find_engine(environment: Mapping[str, str] = os.environ) -> Engine:
    """The engine that ``ENGINE`` names, else the first that works.

    Raises:
        NoEngine: None does.
    """
    named = environment.get("ENGINE")
    faults = []
    for name in [named] if named else ["docker", "podman"]:
        compose = _compose_of(name)
        if shutil.which(name) is None:
            faults.append(f"{name} is not on the PATH")
        elif not _works(name, "info"):
            faults.append(f"{name} is installed, but `{name} info` fails")
        elif not _works(*compose, "version"):
            faults.append(f"{name} works, but {' '.join(compose)} is missing")
        else:
            return Engine(name, compose)
    raise NoEngine(f"Containers need Docker with Compose, or Podman with podman-compose: {'; '.join(faults)}")


def _compose_of(name: str) -> tuple[str, ...]:
    if name != "podman":
        return (name, "compose")
    beside = Path(sys.executable).with_name("podman-compose")
    return (str(beside) if beside.exists() else "podman-compose",)


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        print(f"Containers by {find_engine().command}")
    except NoEngine as error:
        sys.exit(str(error))
