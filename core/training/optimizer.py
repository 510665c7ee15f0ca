"""By what weights move."""

from typing import Literal

Optimizer = Literal["adam", "muon"]
DESCRIPTION = "By what weights move; muon takes fewer iterations"
