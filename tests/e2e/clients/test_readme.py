"""The client's README: its examples run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack
from tests.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

README = ROOT / "client" / "README.md"


@pytest.mark.parametrize("example", re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL))
def test_an_example_runs(example: str, distilling: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilling.ensure_ready()
    monkeypatch.setenv("FEWSTEP_URL", str(distilling.api.base_url))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(example, str(README), "exec"), scope)
    if "job" in scope:
        scope["job"].delete()
    if "client" in scope:
        scope["client"].close()
