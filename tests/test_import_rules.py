"""Which room may import which, and that the API never loads torch."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"app", "worker", "models", "core"}
ALLOWED = {
    "app": {"app", "core"},
    "worker": {"worker", "core", "models"},
    "models": {
        "models",
        "core.catalog.card",
        "core.catalog.classifier_card",
        "core.access",
        "core.errors",
        "core.methods",
        "core.training",
    },
    "core": {"core"},
}
COLUMNS = {
    "app": ("console", "openai", "system", "uploads", "training", "jobs", "catalog", "generate", "webhooks", "access"),
    "models": (
        "cli",
        "evaluation",
        "distillation",
        "classifiers",
        "sampling",
        "training",
        "data",
        "checkpoints",
        "diffusion",
    ),
    "core": (
        "local",
        "uploads",
        "jobs",
        "training",
        "methods",
        "generation",
        "webhooks",
        "access",
        "catalog",
        "machine",
    ),
}
"""Rooms within rooms: each imports only those after it."""
STRANGERS = {"worker": ("sampling", "distillation", "uploads", "webhooks")}
"""Rooms of which none imports another."""
MOST_FILES = 14
MOST_LINES = 300


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for module in imports(path):
            if module.split(".")[0] in ROOMS:
                assert any(is_within(module, allowed) for allowed in ALLOWED[room]), f"{path} imports {module}"
            if room in ("app", "core"):
                assert not is_within(module, "torch"), f"{path} imports {module}"


@pytest.mark.parametrize("room", sorted({*COLUMNS, *STRANGERS}))
def test_a_room_within_imports_only_those_below_it(room: str) -> None:
    column = COLUMNS.get(room, STRANGERS.get(room, ()))
    assert {path.parent.name for path in (ROOT / room).glob("*/__init__.py")} == set(column)
    for index, own in enumerate(column):
        forbidden = column[:index] if room in COLUMNS else [other for other in column if other != own]
        for path in sorted((ROOT / room / own).rglob("*.py")):
            for module in imports(path):
                above = [other for other in forbidden if is_within(module, f"{room}.{other}")]
                assert not above, f"{path} imports {module}"


def test_no_folder_and_no_file_is_too_long_to_be_seen_at_once() -> None:
    files = [
        path
        for top in (*ROOMS, "benchmarks", "client", "tests")
        for path in sorted((ROOT / top).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    assert len(files) > 200
    folders = Counter(path.parent.relative_to(ROOT) for path in files)
    assert {str(folder): count for folder, count in folders.items() if count > MOST_FILES} == {}
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_the_client_stands_alone() -> None:
    needed = {"httpx", "pydantic", "fewstep_client"}
    optional = {"numpy", "PIL"}
    for path in sorted((ROOT / "client" / "fewstep_client").glob("*.py")):
        strangers = {module.split(".")[0] for module in imports(path)} - set(sys.stdlib_module_names) - needed
        assert strangers <= (optional if path.name == "images.py" else set()), f"{path} imports {strangers}"
    code = "import fewstep_client, sys; assert not {'numpy', 'PIL', 'torch', 'core'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_api_and_the_idle_worker_run_without_torch_and_tracing() -> None:
    code = (
        "import app.main, app.server, worker.process, worker.webhooks.worker, models.cli.keys, sys;"
        "assert not {'torch', 'opentelemetry.sdk.trace'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_neither_sampling_nor_training_waits_for_diffusers_or_torchs_compiler(tmp_path: Path) -> None:
    """They take longer to import than all else together."""
    distill = "distill --teacher digits/2-step --from 2 --to 1 --iterations 1 --batch-size 4 --device cpu --out"
    code = (
        "import sys, worker.sampling.worker, models.evaluation.evaluate, models.classifiers.checkpoint;"
        "from core.catalog.card import SHIPPED_CHECKPOINTS;"
        "from models.sampling.engine import Sampler;"
        "Sampler(SHIPPED_CHECKPOINTS / 'digits' / '1-step', device='cpu').sample(seeds=[0]);"
        "import worker.distillation.slices;"
        "from models.cli.main import app;"
        f"app([*'{distill}'.split(), sys.argv[1]], standalone_mode=False);"
        "assert not {'diffusers', 'torch._dynamo', 'transformers', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "made")], check=True)
    assert (tmp_path / "made" / "1-step" / "card.json").is_file()
