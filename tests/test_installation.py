"""How Fewstep comes onto a machine: the Makefile's first words, docker/install.sh and docker/prometheus/install.sh."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / "docker" / "install.sh"
INSTALL_PROMETHEUS = ROOT / "docker" / "prometheus" / "install.sh"

# pip is asked for real; of uv is written down with what it was called.
PYTHON = f"""#!/bin/sh
case "$*" in
    "-c "*) echo "$0" ;;
    "-m pip config "*) exec '{sys.executable}' "$@" ;;
    "-m uv cache dir") echo "$HERE/cache" ;;
    "-m uv pip compile "*) [ "$CPU_INDEX" = answers ] ;;
    "-m uv pip install "*) env >"$HERE/environment"; echo "$*" >"$HERE/arguments"; exit "${{UV_FAILS:-0}}" ;;
esac
"""
APT_GET = """#!/bin/sh
for package; do :; done
case "$package" in update) exit ;; esac
case " $MIRROR " in
    *" $package "*) echo "$package" >"${package}_1_amd64.deb" ;;
    *) echo "E: Unable to locate package $package" >&2; exit 100 ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
for program in $(cat "$2") $(if [ "$(cat "$2")" = prometheus ]; then echo "${ALONG-}"; fi); do
    touch "$3/usr/bin/$program"
done
"""

Installed = tuple[dict[str, str], str]
Install = Callable[[Mapping[str, str]], Installed]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Calls docker/install.sh on a machine with nothing but these settings: uv's environment, and its arguments."""
    python = program(tmp_path / "bin" / "python", PYTHON)

    def call(settings: Mapping[str, str]) -> Installed:
        environment = {
            "PATH": os.environ["PATH"],
            "HERE": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
            "TORCH": "cuda",
        }
        subprocess.run(
            ["sh", INSTALL, python, "-e", ".[worker]"], cwd=ROOT, env={**environment, **settings}, check=True
        )
        lines = (tmp_path / "environment").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines if "=" in line)
        return seen, (tmp_path / "arguments").read_text()

    return call


def test_what_pip_is_set_to_holds_for_uv(install: Install, tmp_path: Path) -> None:
    here = tmp_path / "wheels"
    here.mkdir()
    environment, arguments = install(
        {
            "PIP_INDEX_URL": "https://mirror.test/simple",
            "PIP_EXTRA_INDEX_URL": "https://one.test/simple file:///two/simple",
            "PIP_FIND_LINKS": f"{here} {tmp_path}/missing https://wheels.test/",
            "PIP_CERT": "/etc/bundle.pem",
            "PIP_DEFAULT_TIMEOUT": "70",
            "PIP_CONSTRAINT": "/etc/constraints.txt",
        }
    )
    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.test/simple"
    assert environment["UV_EXTRA_INDEX_URL"] == "https://one.test/simple file:///two/simple"
    assert environment["UV_FIND_LINKS"] == f"{here},https://wheels.test/"
    assert environment["SSL_CERT_FILE"] == "/etc/bundle.pem"
    assert environment["UV_HTTP_TIMEOUT"] == "70"
    assert environment["UV_CONSTRAINT"].split() == ["requirements.lock", "/etc/constraints.txt"]
    assert arguments.endswith("-e .[worker]\n")


def test_settings_come_from_pips_files_too_and_the_last_word_has_uvs_own(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://global.test/\nextra-index-url =\n  https://one.test/\n  https://two.test/\n"
        "trusted-host = mirror.test\n[install]\nindex-url = https://install.test/\n"
    )
    environment, _ = install({"PIP_CONFIG_FILE": str(file)})
    assert environment["UV_DEFAULT_INDEX"] == "https://install.test/"
    assert environment["UV_EXTRA_INDEX_URL"].split() == ["https://one.test/", "https://two.test/"]
    assert environment["UV_INSECURE_HOST"] == "mirror.test"
    environment, _ = install({"PIP_CONFIG_FILE": str(file), "PIP_INDEX_URL": "https://environment.test/"})
    assert environment["UV_DEFAULT_INDEX"] == "https://environment.test/"
    environment, _ = install({"PIP_CONFIG_FILE": str(file), "UV_DEFAULT_INDEX": "https://own.test/"})
    assert environment["UV_DEFAULT_INDEX"] == "https://own.test/"


@pytest.mark.parametrize(
    ("settings", "backend"),
    [
        ({"TORCH": "cpu", "CPU_INDEX": "answers"}, "cpu"),
        ({"TORCH": "cpu", "CPU_INDEX": "is silent"}, None),
        ({"TORCH": "cuda", "CPU_INDEX": "answers"}, None),
    ],
)
def test_torch_comes_from_its_cpu_index_if_that_is_wanted_and_answers(
    install: Install, settings: dict[str, str], backend: str | None
) -> None:
    environment, _ = install(settings)
    assert environment.get("UV_TORCH_BACKEND") == backend


def test_nvidias_driver_decides_where_nobody_has(install: Install, tmp_path: Path) -> None:
    driven = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    environment, _ = install({"TORCH": "", "CPU_INDEX": "answers"})
    assert environment.get("UV_TORCH_BACKEND") == (None if driven else "cpu")
    program(tmp_path / "driver" / "nvidia-smi", "#!/bin/sh\n")
    path = f"{tmp_path / 'driver'}:{os.environ['PATH']}"
    environment, _ = install({"TORCH": "", "CPU_INDEX": "answers", "PATH": path})
    assert environment.get("UV_TORCH_BACKEND") is None


def test_a_failed_installation_fails(install: Install) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        install({"UV_FAILS": "2"})


def test_make_says_what_is_missing_before_anything_is_half_made(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    program(tmp_path / "without" / "ensurepip.py", "raise ImportError('Debian has it in python3-venv')\n")
    (tmp_path / "python3.99").symlink_to(sys.executable)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PYTHONPATH"] = str(tmp_path / "without")
    command = ["make", "run", f"PYTHON={tmp_path / 'python3.99'}"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stdout.splitlines()[0].endswith("apt install python3.99-venv")
    assert len(result.stdout.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls docker/prometheus/install.sh into ``tmp_path/got`` where apt's mirror has these packages."""
    tools = tmp_path / "bin"
    program(tools / "apt-get", APT_GET)
    program(tools / "dpkg", DPKG)
    for name in ("sh", "cat", "grep", "mkdir", "mktemp", "mv", "rm", "tail", "touch"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)

    def call(mirror: str, *, along: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", INSTALL_PROMETHEUS, tmp_path / "got"],
            cwd=tmp_path,
            env={"PATH": str(tools), "MIRROR": mirror, "ALONG": along},
            capture_output=True,
            text=True,
        )

    return call


@pytest.mark.parametrize(("mirror", "along"), [("prometheus", "promtool"), ("prometheus promtool", "")])
def test_prometheus_is_fetched_in_one_package_or_in_two(
    fetch: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, mirror: str, along: str
) -> None:
    result = fetch(mirror, along=along)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["prometheus", "promtool"]


@pytest.mark.parametrize("mirror", ["", "prometheus"])
def test_what_cannot_be_fetched_is_said_in_one_line(
    fetch: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, mirror: str
) -> None:
    result = fetch(mirror)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"Unable to locate package {'promtool' if mirror else 'prometheus'}" in line
    assert "prometheus.io/download" in line
    assert not (tmp_path / "got").exists()
