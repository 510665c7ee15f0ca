import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import RedisServer

HELPERS = (
    "import os, threading, time;"
    "from core.settings import get_settings;"
    "from worker.heartbeat import Pulse;"
    "from worker.sampling.worker import sampling_worker;"
    "helpers = lambda: len(os.listdir('/proc/self/task')) - threading.active_count();"
    "before = helpers();"  # numpy's
    "serving = sampling_worker(get_settings(), 'w1', Pulse(1.0));"
    "serving.__enter__();"
    "deadline = time.monotonic() + 10;"  # those of threads that have ended go a moment later
    "exec('while helpers() != before and time.monotonic() < deadline: time.sleep(0.1)');"
    "print(helpers() - before, flush=True);"
    "os._exit(0)"
)


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux shows them")
def test_no_threads_of_torch_stay_to_slow_those_of_the_device(tiny_family: Path, redis_server: RedisServer) -> None:
    """With more of them than cores each sleeps at the end of every operator."""
    environment = {
        "OMP_NUM_THREADS": "2",
        "FEWSTEP_REDIS_URL": redis_server.url,
        "FEWSTEP_CHECKPOINTS": str(tiny_family.parent),
        "FEWSTEP_DEFAULT_MODEL": "tiny",
        "FEWSTEP_DEVICE": "cpu",
    }
    started = subprocess.run(
        [sys.executable, "-c", HELPERS], env=os.environ | environment, check=True, capture_output=True, text=True
    )
    assert started.stdout.splitlines()[-1] == "0"
