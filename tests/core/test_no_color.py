import os
import subprocess
import sys

import pytest

CODE = """
import io, sys

class Terminal(io.StringIO):
    def isatty(self):
        return True

from core.log import configure_logging, get_logger
from core.settings import Settings

sys.stderr = Terminal()
configure_logging(Settings())
get_logger("x").warning("said")
assert "said" in sys.stderr.getvalue()
sys.exit("\\x1b[" in sys.stderr.getvalue())
"""


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_no_color_turns_colours_off(value: str, coloured: bool) -> None:
    environment = os.environ | {"NO_COLOR": value, "FEWSTEP_LOG_FORMAT": "console"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, timeout=60, check=False)
    assert done.returncode == int(coloured)
