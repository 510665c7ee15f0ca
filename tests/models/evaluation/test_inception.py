import sys
from pathlib import Path

import pytest
import torch

from core.errors import InvalidRequest
from models.evaluation.inception import inception_extractor


def test_without_torch_fidelity_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InvalidRequest, match=r"pip install 'fewstep\[inception\]'") as error:
        inception_extractor(Path("weights.pth"), device=torch.device("cpu"))
    assert error.value.field == "inception"
