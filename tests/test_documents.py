"""What README, CONTRIBUTING and ``docs/`` point to exists, and decisions are pages in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalog.card import read_card

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "client" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
GUIDE = ROOT / "docs" / "distillation.md"
FOLDERS = ("app", "benchmarks", "client", "core", "docker", "docs", "models", "tests", "worker")
MOST_LINES = 45
"""Of a decision: a screen."""


def headings(document: Path) -> set[str]:
    """Anchors of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def code(text: str) -> str:
    """What stands in a document as code."""
    return "\n".join(
        "".join(found) for found in re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", text, re.MULTILINE | re.DOTALL)
    )


def missing(document: Path) -> Iterator[str]:
    """Whatever a document names that does not exist."""
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        linked = document.parent / name if name else document
        if not linked.exists() or (anchor and anchor not in headings(linked)):
            yield f"link {target}"
    for path in re.findall(rf"(?<![\w/.:-])(?:{'|'.join(FOLDERS)})/[\w./*-]*", text):
        if not any(ROOT.glob(path.rstrip("./"))):
            yield f"path {path}"
    for module in re.findall(r"python -m ([\w.]+)", code(text)):
        place = ROOT.joinpath(*module.split("."))
        if not place.with_suffix(".py").exists() and not (place / "__main__.py").exists():
            yield f"module {module}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"^make ([a-z-]+)", code(text), re.MULTILINE):
        if target not in targets:
            yield f"target {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    assert list(missing(document)) == []


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("`app/none.py`, [it](none.md), [it](#none), `make none`\n```sh\npython -m core.none\n```\n")
    assert len(list(missing(document))) == 5


def test_decisions_are_dated_pages_in_order_and_in_the_index() -> None:
    rows = []
    for number, page in enumerate(DECISIONS, 1):
        lines = page.read_text().splitlines()
        title = re.fullmatch(rf"# {number}\. (.+)", lines[0])
        assert title, page.name
        assert page.name.startswith(f"{number:04d}-")
        assert re.match(r"Date: \d{4}-\d\d-\d\d", lines[2]), page.name
        sections = [line for line in lines if line.startswith("## ")]
        assert sections in (["## Context", "## Decision"], ["## Context", "## Decision", "## Turned down"]), page.name
        assert len(lines) <= MOST_LINES, page.name
        rows.append((f"{number:04d}", page.name, title[1]))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert re.findall(r"^\| \[(\d+)\]\(([^)]+)\) \| (.+?) \| .+ \|$", index, re.MULTILINE) == rows


def with_example(folder: Path) -> dict[str, str]:
    """An environment with the method that the guide shows, written into a folder."""
    (example,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "huber.py").write_text(example)
    return {**os.environ, "FEWSTEP_METHODS": "huber", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.mark.slow
def test_the_guides_method_of_your_own_makes_a_student(tmp_path: Path) -> None:
    (command,) = re.findall(r"^fewstep (distill --method huber .*)$", GUIDE.read_text(), re.MULTILINE)
    subprocess.run(
        [Path(sys.executable).with_name("fewstep"), *command.split(), "--to=4", "--iterations=1", "--batch-size=2"],
        cwd=tmp_path,
        env=with_example(tmp_path),
        check=True,
    )
    card = read_card(tmp_path / "mine" / "4-step")
    assert card.method == "huber"
    assert card.hyper_parameters is not None
    assert card.hyper_parameters["delta"] == 0.2


def test_the_guides_method_of_your_own_is_declared_without_torch(tmp_path: Path) -> None:
    use = "import huber, sys; assert huber.METHOD.name == 'huber'; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", use], env=with_example(tmp_path), check=True)
