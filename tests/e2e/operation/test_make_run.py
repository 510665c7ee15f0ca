"""What a newcomer sees: one command, and the line it prints."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.processes import ROOT


def paste(line: str, folder: Path) -> None:
    """Run the ``curl`` line in a folder, or do what it says where there is no curl."""
    words = shlex.split(line)
    if shutil.which("curl"):
        subprocess.run(words, cwd=folder, check=True, timeout=60)
        return
    url = next(word for word in words if word.startswith("http://"))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    answer = httpx.post(url, headers=headers, content=words[words.index("-d") + 1], timeout=60)
    (folder / words[words.index("-o") + 1]).write_bytes(answer.content)


def test_the_printed_line_gives_a_picture_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "FEWSTEP_PORT": str(port), "FEWSTEP_VAR": str(tmp_path / "var")}
    environment.pop("FEWSTEP_REDIS_URL", None)
    output = tmp_path / "output"
    with output.open("w") as file:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "core.local.run"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not (lines := [line for line in output.read_text().splitlines() if line.startswith("  curl ")]):
            assert launcher.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        paste(lines[0], tmp_path)
        with Image.open(tmp_path / "pictures.png") as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 128  # four by four pictures of 32 by 32, and gaps
            assert len(picture.convert("L").getcolors() or []) > 16
            over_http = np.asarray(picture)
        command = ["sample", "cifar10", "--steps", "1", "--n", "16", "--seed", "0", "--out", "cli.png"]
        subprocess.run([Path(sys.executable).with_name("fewstep"), *command], cwd=tmp_path, check=True, timeout=120)
        with Image.open(tmp_path / "cli.png") as picture:
            np.testing.assert_array_equal(over_http, np.asarray(picture))
        (page,) = re.findall(r"^Fewstep is ready at (\S+)", output.read_text(), re.MULTILINE)
        assert "<title>Fewstep</title>" in httpx.get(page).text
        assert httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
        (line,) = [line for line in output.read_text().splitlines() if "Metrics: " in line]
        shown = [httpx.get(url).text for url in line.partition("Metrics: ")[2].split(", ")]
        for text, metric in zip(shown, ("redis_up", "requests_in_hand", "distill_slices_total"), strict=True):
            assert f"\nfewstep_{metric}" in text

        os.killpg(launcher.pid, signal.SIGINT)  # what a terminal does
        assert launcher.wait(90) == 0, output.read_text()
    finally:
        launcher.terminate()
        launcher.wait()
    with (tmp_path / "var" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # every process holds it for as long as it lives
    assert "Traceback" not in output.read_text()
