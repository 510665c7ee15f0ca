"""The libraries of the page: ``python -m app.console.vendor`` verifies them, with ``fetch`` it brings them by npm.

``vendor/manifest.json`` pins each package's version and the integrity that npm's registry states, and has the SHA-256
of each file as it lies here. A file is a package's own, but for the names that ``rewrite`` lists, by which browsers
would not find another library.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.console.assets import PAGE

FOLDER = PAGE / "vendor"
MANIFEST = FOLDER / "manifest.json"


def read_manifest() -> dict[str, Any]:
    """Packages by name."""
    packages: dict[str, Any] = json.loads(MANIFEST.read_text())["packages"]
    return packages


def flaws() -> Iterator[str]:
    """Each file that is not what the manifest says, or that it does not know."""
    expected = {
        name: facts["sha256"] for package in read_manifest().values() for name, facts in package["files"].items()
    }
    for name, sha256 in expected.items():
        path = FOLDER / name
        if not path.is_file():
            yield f"{name} is missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            yield f"{name} is not what the manifest says"
    for path in sorted(FOLDER.iterdir()):
        if path.name not in {*expected, MANIFEST.name}:
            yield f"{path.name} is not in the manifest"


def fetch(name: str, package: Mapping[str, Any], folder: Path) -> None:
    """Bring the files of a package by ``npm pack``, whose integrity must be as pinned.

    Raises:
        ValueError: It is another.
    """
    command = ["npm", "pack", "--silent", f"{name}@{package['version']}"]
    packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603
    archive = folder / packed.stdout.split()[-1]
    algorithm, _, digest = package["integrity"].partition("-")
    if base64.b64encode(hashlib.new(algorithm, archive.read_bytes()).digest()).decode() != digest:
        raise ValueError(f"{name} {package['version']} has another integrity than the manifest says")
    with tarfile.open(archive) as content:
        for target, facts in package["files"].items():
            source = content.extractfile(f"package/{facts['source']}")
            assert source is not None
            text = source.read().decode()
            for old, new in facts.get("rewrite", {}).items():
                text = text.replace(old, new)
            (FOLDER / target).write_text(text)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1, with a line for each flaw, where a file is not as the manifest says."""
    if arguments == ["fetch"]:
        if shutil.which("npm") is None:
            print(
                "npm is needed to fetch the console's libraries; on Debian and Ubuntu: apt install npm", file=sys.stderr
            )
            return 2
        with tempfile.TemporaryDirectory() as folder:
            for name, package in read_manifest().items():
                fetch(name, package, Path(folder))
    found = list(flaws())
    for flaw in found:
        print(f"{FOLDER.name}: {flaw}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
