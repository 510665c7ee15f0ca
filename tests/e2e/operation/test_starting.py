"""Processes that are only starting or are the first of a container, and machines that lack what most have."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.yard import Yard
from tests.processes import Process, RedisServer, module_of, wait_until

BARE = """
set -e
mount --bind "$1" /mnt
for folder in /dev/shm /tmp /var/tmp; do mount -t tmpfs none $folder; done
mkdir -p "$1"
mount --bind /mnt "$1"
for folder in /dev/shm /tmp /var/tmp; do mount -o remount,ro $folder; done
mount -o remount,ro,bind /
unset TMPDIR TEMP TMP TORCHINDUCTOR_CACHE_DIR
cd /
shift
exec "$@"
"""
"""Then there is no shared memory, the root is read-only, and nothing but one folder can be written to."""


def can_unshare(*options: str) -> bool:
    """Whether this user may make such a container of processes."""
    try:
        return subprocess.run(["unshare", *options, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def yard(tmp_path: Path, tiny_family: Path) -> Iterator[Yard]:
    """Where one job is done."""
    yard = Yard(tmp_path / "yard", tiny_family)
    yield yard
    yard.close()


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """A folder of families, of which reading the first card comes to no end."""
    card = tmp_path / "checkpoints" / "digits" / "1-step" / "card.json"
    card.parent.mkdir(parents=True)
    os.mkfifo(card)
    yield card
    card.unlink()


def open_end(pipe: Path) -> int | None:
    """The end of a pipe that is written to, once somebody waits at the other one."""
    with suppress(OSError):  # nobody does
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True], ids=["any process", "the first of a container"])
def test_a_sampling_worker_that_is_loading_ends_at_once(stuck: Path, tmp_path: Path, first: bool) -> None:
    options = ("--fork", "--pid", "--kill-child")
    if first and not can_unshare(*options):
        pytest.skip("needs the right to make namespaces")
    redis = RedisServer(tmp_path)
    environment = {
        "FEWSTEP_REDIS_URL": redis.url,
        "FEWSTEP_CHECKPOINTS": str(stuck.parents[2]),
        "FEWSTEP_DEFAULT_MODEL": "digits",
        "FEWSTEP_VAR": str(tmp_path / "var"),
        "FEWSTEP_SAMPLER_METRICS_PORT": "0",
    }
    runner = ("unshare", *options) if first else ()
    worker = Process(*module_of("sampler"), environment=environment, log=tmp_path / "sampler.log", runner=runner)
    ends: list[int | None] = [None]

    def is_loading() -> bool:
        assert worker.alive, worker.log.read_text()
        ends.append(open_end(stuck))
        return ends[-1] is not None

    wait_until(is_loading, what="loading")
    if first:
        (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        wait_until(lambda: not worker.alive, what="its end")
    else:
        worker.terminate()
    assert worker.stop(signal.SIGCONT) == 0
    assert ends[-1]
    os.close(ends[-1])
    redis.stop()


@pytest.mark.slow
def test_a_job_is_done_without_shared_memory_and_without_a_folder_for_temporary_files(
    yard: Yard, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not can_unshare("--mount"):
        pytest.skip("needs the right to make namespaces")
    script = ("unshare", "--mount", "sh", "-c", BARE, "sh", str(tmp_path_factory.getbasetemp()))
    yard.start(runner=script)
    yard.ended(yard.submit())
    assert yard.stop() == 0
