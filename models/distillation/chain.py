"""A chain of rounds, from its teacher and data to its students, for whoever runs it: a terminal or a job."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from core.catalog.card import Card
from core.errors import InvalidRequest
from core.methods.declaration import Method
from models.checkpoints.checkpoint import load_denoiser, save_checkpoint
from models.data.classes import refuse_unknown
from models.data.parquet_files import ALL_FOUND, Columns
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import rows_of
from models.diffusion.unet import disable_dropout
from models.distillation.conversion import conversion_loss
from models.distillation.frozen import frozen
from models.distillation.guide import Guide, Guided
from models.distillation.material import Material, prepare_material
from models.distillation.method import Built, Learning, LoadedMethod
from models.distillation.rounds import Round, plan_rounds, round_config
from models.distillation.synthetic import SyntheticConfig
from models.training.batches import DataSource
from models.training.execution import AUTO, Execution
from models.training.progress import OnProgress
from models.training.trainer import TrainConfig, train


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All that the rounds of a chain need, loaded.

    Attributes:
        teacher: On the device.
        card: The teacher's.
        parent: The teacher's name for the cards of students, ``family/checkpoint``.
        rounds: From the teacher's steps to the last student's.
        material: What is trained on.
        config: Of one round; iterations are doubled for students of two steps and one.
        method: How students learn.
        command: For the cards.
        execution: How networks are run.
        guide: Of the teacher, in the first round.
    """

    teacher: Denoiser
    card: Card
    parent: str
    rounds: list[Round]
    material: Material
    config: TrainConfig
    method: LoadedMethod
    command: str | None
    execution: Execution
    guide: Guide | None = None

    def facts_of(self, this: Round) -> dict[str, object]:
        """By what the student of a round learns, for its card."""
        return {
            **({} if this.is_conversion else self.method.facts),
            **self.material.facts,
            **(self.guide.facts if self.guide and this is self.rounds[0] else {}),
        }

    def state_facts_of(self, this: Round) -> dict[str, object]:
        """What the state of a round is known by."""
        return {
            "teacher_sha256": self.card.sha256,
            "teacher_steps": len(this.teacher_rows) - 1,
            "method": self.method.declaration.name,
            "data_fingerprint": self.material.data_fingerprint,
            **self.facts_of(this),
        }


def rounds_from(card: Card, *, method: Method, from_steps: int, to_steps: int) -> list[Round]:
    """The rounds of a chain from a teacher with this card; errors as of ``plan_rounds``."""
    try:
        rows = rows_of(card, from_steps)
    except ValueError as error:
        raise InvalidRequest(str(error), field="from") from error
    return plan_rounds(
        rows,
        method=method,
        from_steps=from_steps,
        to_steps=to_steps,
        convert=card.prediction_type == "epsilon",
        knows_all_rows=card.knows_all_rows,
    )


def prepare_chain(
    *,
    teacher: Path,
    parent: str,
    from_steps: int,
    to_steps: int,
    data: str | None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    synthetic: SyntheticConfig | None = None,
    config: TrainConfig,
    method: LoadedMethod,
    command: str | None = None,
    device: torch.device,
    execution: Execution,
    guide: Guide | None = None,
) -> Chain:
    """Load a teacher and its data. If it predicts noise, a first round makes a student of as many steps that does not.

    Args:
        teacher: Checkpoint folder.
        parent: As of ``Chain``, and so are ``config``, ``method``, ``command``, ``execution`` and ``guide``.
        from_steps: Steps in which the teacher is sampled; a divisor of its own.
        to_steps: Steps of the last student.
        data: As of ``models.distillation.material.prepare_material``, and so are ``size``, ``columns`` and
            ``synthetic``.
        size: Side of the pictures.
        columns: Of a table.
        synthetic: Sample the images from the teacher instead.
        config: How to train.
        method: Its networks must be on the same device.
        command: For the cards.
        device: Where to.
        execution: How networks are run.
        guide: Of the teacher.

    Raises:
        InvalidRequest: The steps do not halve, the data do not fit the teacher or the classifier, or the method is
            shown none.
        CheckpointError: The teacher is damaged.
    """
    denoiser, card = load_denoiser(teacher, device)
    rounds = rounds_from(card, method=method.declaration, from_steps=from_steps, to_steps=to_steps)
    material = prepare_material(
        denoiser,
        card,
        parent=parent,
        method=method.declaration,
        data=data,
        size=size,
        columns=columns,
        synthetic=synthetic,
        seed=config.seed,
        device=device,
    )
    refuse_unknown(
        material.class_names,
        method.class_names,
        what=repr(data),
        of="the classifier",
        field="classifier",
        advice="".join(f". It serves with a {option} of 0" for option in method.declaration.of_known_data),
    )
    return Chain(
        teacher=denoiser,
        card=card,
        parent=parent,
        rounds=rounds,
        material=material,
        config=config,
        method=method,
        command=command,
        execution=execution,
        guide=guide,
    )


def run_round(
    teacher: Denoiser,
    this: Round,
    *,
    method: Built,
    data: DataSource,
    config: TrainConfig,
    state_path: Path,
    on_progress: OnProgress,
    execution: Execution = AUTO,
    guide: Guide | None = None,
    facts: Mapping[str, object] = {},
) -> Denoiser:
    """Train a student from a copy of its teacher, without dropout, by the teacher with its guide.

    Other arguments and errors are as of ``models.training.trainer.train``.
    """
    student = replace(teacher, network=disable_dropout(copy.deepcopy(teacher.network).requires_grad_(True)))
    called = frozen(teacher.network, execution)
    teacher = replace(teacher, network=Guided(called, guide, execution) if guide else called)
    if this.is_conversion:
        student = replace(student, prediction_type="sample")
        learning = Learning(conversion_loss(teacher, this.rows, student))
    else:
        learning = method.begin(teacher, this, seed=config.seed)
    network = train(
        student.network,
        loss=learning.loss,
        companion=learning.companion,
        facts=facts,
        data=data,
        config=config,
        state_path=state_path,
        on_progress=on_progress,
        execution=execution,
    )
    return replace(student, network=network)


def run_chain(
    chain: Chain,
    *,
    states: Mapping[int, Path],
    watch: Callable[[Round], AbstractContextManager[OnProgress]],
    first: int = 0,
) -> Iterator[tuple[Round, Denoiser]]:
    """Train the students one after the other; gives each round with its student when it is done.

    Every round starts from the unrounded weights of the one before, and goes on from its state where it was cut off.

    Args:
        chain: What to run.
        states: Where the state of each round is kept, by steps of its student.
        watch: Gives the callback of a round's iterations, for as long as it trains.
        first: Index of the round to begin with; of the one before it the final state must be there.

    Raises:
        StopTraining: Asked for by the callback; the state is saved.
    """
    denoiser = chain.teacher
    if first and chain.rounds[0].is_conversion:
        denoiser = replace(denoiser, prediction_type="sample")
    for index, this in enumerate(chain.rounds):
        if index < first - 1:
            continue
        with watch(this) as on_progress:
            denoiser = run_round(
                denoiser,
                this,
                method=chain.method,
                data=chain.material.source,
                config=round_config(chain.config, this.num_steps),
                state_path=states[this.num_steps],
                on_progress=on_progress,
                execution=chain.execution,
                guide=None if index else chain.guide,
                facts=chain.state_facts_of(this),
            )
        if index >= first:
            yield this, denoiser


def save_student(
    folder: Path, chain: Chain, this: Round, student: Denoiser, *, family: str, facts: Mapping[str, object] = {}
) -> Card:
    """Write the checkpoint of a finished round, with its lineage; errors as of ``save_checkpoint``.

    Args:
        folder: Where to; must not exist.
        chain: What was run.
        this: The round.
        student: What came of it.
        family: Name of the students' family, for the parents of all but the first.
        facts: What else its hyper-parameters have.
    """
    index = chain.rounds.index(this)
    device = chain.teacher.schedule.alpha.device
    return save_checkpoint(
        folder,
        student.network,
        rows=this.rows,
        schedule=chain.card.schedule,
        prediction_type=student.prediction_type,
        last_step=chain.card.last_step,
        own_steps_only=chain.method.declaration.own_steps_only and not this.is_conversion,
        method="conversion" if this.is_conversion else chain.method.declaration.name,
        class_names=chain.card.class_names,
        parent=f"{family}/{chain.rounds[index - 1].num_steps}-step" if index else chain.parent,
        data=chain.material.data,
        data_fingerprint=chain.material.data_fingerprint,
        hyper_parameters={
            **asdict(round_config(chain.config, this.num_steps)),
            "precision": chain.execution.precision_on(device),
            **chain.facts_of(this),
            **facts,
        },
        command=chain.command,
    )
