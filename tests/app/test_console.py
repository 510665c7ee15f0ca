"""The console's libraries are as pinned, and its page stands below whatever prefix there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.console import vendor
from app.console.assets import PAGE
from tests.app.conftest import Api

IMPORT = re.compile(r'(?:from|import)\s*\(?"(\.[^"]+)"')
MOST_LINES, MOST_FILES = 250, 14


def modules(entry: Path) -> Iterator[Path]:
    """A module and all that it imports before it runs."""
    seen, left = set(), [entry]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        static = re.findall(r'^(?:import|export)[^;]*?from\s*"(\.[^"]+)"', path.read_text(), re.MULTILINE)
        left += [(path.parent / name).resolve() for name in static]


def test_libraries_are_as_the_manifest_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(vendor.flaws()) == []
    monkeypatch.setattr(vendor, "FOLDER", tmp_path)
    for path in (PAGE / "vendor").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "htm.js").write_text("other")
    (tmp_path / "uplot.js").unlink()
    (tmp_path / "stranger.js").touch()
    assert list(vendor.flaws()) == [
        "htm.js is not what the manifest says",
        "uplot.js is missing",
        "stranger.js is not in the manifest",
    ]


def test_modules_are_small_ask_by_relative_paths_and_make_no_markup_of_names() -> None:
    ours = [path for path in PAGE.rglob("*.js") if path.parent.name != "vendor"]
    assert len(ours) > 20
    for path in ours:
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path
        assert "://" not in text, path
        for name in IMPORT.findall(text):
            assert (path.parent / name).is_file(), f"{path}: {name}"
    for folder in {path.parent for path in ours}:
        assert len(list(folder.iterdir())) <= MOST_FILES, folder


def test_what_the_first_view_needs_is_announced_by_the_page() -> None:
    announced = re.findall(r'modulepreload" href="console/\$version/([^"]+)"', (PAGE / "index.html").read_text())
    needed = {
        path.relative_to(PAGE).as_posix()
        for entry in ("main.js", "generate/view.js")
        for path in modules((PAGE / entry).resolve())
    }
    assert set(announced) == needed - {"main.js"}


def test_the_page_stands_below_a_prefix(api: Api) -> None:
    page = api.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<base href="/">' in page.text
    assert api.client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    process, client = api.start(FEWSTEP_ROOT_PATH="/fewstep")
    try:
        below = client.get("/fewstep/")
        assert '<base href="/fewstep/">' in below.text
        found = re.search(r'src="(console/\w+/main\.js)"', below.text)
        assert found
        assert client.get(f"/fewstep/{found[1]}").status_code == 200
    finally:
        client.close()
        process.stop()
