"""Progressive distillation (Salimans & Ho 2022)."""

from core.methods.declaration import Method
from core.methods.solvers import SolverOptions

METHOD = Method(
    name="pd",
    summary="progressive distillation",
    build="models.distillation.methods.pd:build",
    options=SolverOptions,
)
