"""How methods ask for the solver that a teacher is walked by."""

from typing import Annotated, Literal

from pydantic import Field

from core.errors import InvalidRequest
from core.methods.declaration import Options

Solver = Literal["ddim", "dpm++"]


class SolverOptions(Options):
    """The teacher's solver. A student's own steps, when it teaches the next, are DDIM's: it has learned no others."""

    solver: Annotated[
        Solver | None,
        Field(
            description="By which a teacher that was not distilled walks; dpm++ (DPM-Solver++, order 3) errs less "
            "in as many calls, which are 4 to a target in the first round of pd, cfd and rdd; by default dpm++ for "
            "sfd and ddim for them"
        ),
    ] = None

    @property
    def of_teacher(self) -> dict[str, object]:
        """For the cards, where one was asked for."""
        return self.model_dump(include={"solver"}, exclude_none=True)

    def refuse_teacher(self, *, knows_all_rows: bool) -> None:
        """Raise ``InvalidRequest`` where a distilled teacher is to walk otherwise than by DDIM."""
        if self.solver == "dpm++" and not knows_all_rows:
            raise InvalidRequest(
                "the teacher was distilled, and its steps are those of ddim", field="solver", allowed=["ddim"]
            )
