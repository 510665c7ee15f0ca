"""The rounds of a chain: which rows their teachers and students walk, and how long they take."""

from dataclasses import dataclass, replace

from core.errors import InvalidRequest
from core.methods.declaration import Method
from core.methods.solvers import Solver
from models.diffusion.schedule import subgrid
from models.training.trainer import TrainConfig


@dataclass(frozen=True)
class Round:
    """One round of a chain.

    Attributes:
        teacher_rows: The teacher's rows from clean to noise.
        rows: The student's: some of them, every second where a method halves, or in a conversion all.
        knows_all_rows: Whether the teacher does, as of ``core.catalog.card.Card``.
    """

    teacher_rows: tuple[int, ...]
    rows: tuple[int, ...]
    knows_all_rows: bool = False

    @property
    def is_conversion(self) -> bool:
        """Whether the student keeps the teacher's steps and only predicts something else."""
        return self.rows == self.teacher_rows

    def solver(self, asked: Solver) -> Solver:
        """What the teacher walks by: a student was taught the steps of DDIM alone."""
        return asked if self.knows_all_rows else "ddim"

    @property
    def num_steps(self) -> int:
        """Steps of the student."""
        return len(self.rows) - 1


def plan_rounds(
    rows: tuple[int, ...],
    *,
    method: Method,
    from_steps: int,
    to_steps: int,
    convert: bool = False,
    knows_all_rows: bool = False,
) -> list[Round]:
    """The rounds from a teacher sampled in ``from_steps`` down to a student of ``to_steps``.

    Args:
        rows: The teacher's rows; ``from_steps`` must divide their number of steps.
        method: Says which steps a chain goes through.
        from_steps: Steps of the first teacher.
        to_steps: Steps of the last student.
        convert: Whether a conversion comes first, from ``from_steps`` to as many.
        knows_all_rows: Of the first teacher.

    Raises:
        InvalidRequest: The teacher cannot be sampled in ``from_steps``, or the method never meets ``to_steps``.
    """
    try:
        current = subgrid(rows, from_steps)
    except ValueError as error:
        raise InvalidRequest(str(error), field="from") from error
    steps = method.plan(from_steps, to_steps, convert=convert)
    if steps is None:
        flaw = (
            f"halving them again and again does not give {to_steps}; it must be {from_steps} divided by a power of two"
            if method.halves
            else f"{to_steps} is no smaller divisor of that"
        )
        raise InvalidRequest(f"from {from_steps} steps: {flaw}", field="to")
    rounds: list[Round] = []
    for num_steps in steps:
        undistilled = knows_all_rows and all(this.is_conversion for this in rounds)
        rounds.append(Round(current, subgrid(current, num_steps), undistilled))
        current = rounds[-1].rows
    return rounds


def round_config(config: TrainConfig, num_steps: int) -> TrainConfig:
    """``config`` with the iterations doubled for students of two steps and one, as in the paper."""
    return replace(config, iterations=config.iterations * (2 if num_steps <= 2 else 1))
