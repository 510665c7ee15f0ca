"""Whole runs, from data set and teacher to checkpoints: what the commands that train do."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from core.catalog.card import CARD_NAME, read_card
from core.catalog.classifier_card import ClassifierCard
from core.training.options import ClassifierOptions, TeacherOptions
from models.checkpoints.files import last_step, refuse_out, state_path_of
from models.classifiers.training import prepare_classifier
from models.data.parquet_files import ALL_FOUND, Columns
from models.distillation.chain import prepare_chain, rounds_from, run_chain, save_student
from models.distillation.guide import load_guide
from models.distillation.method import LoadedMethod
from models.distillation.rounds import Round
from models.distillation.synthetic import SyntheticConfig
from models.distillation.teacher import prepare_teacher
from models.sampling.engine import pick_device
from models.training.execution import AUTO, Execution
from models.training.parallel import join_processes, process_index, refuse_processes
from models.training.progress import OnProgress, say, terminal_progress
from models.training.resume import facts_of
from models.training.run import Run
from models.training.trainer import TrainConfig

_Network = TypeVar("_Network")


def train_teacher(
    *,
    out: Path,
    data: str,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    options: TeacherOptions,
    init: Path | None = None,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> None:
    """Train a teacher on the 1024-step grid and write its checkpoint.

    Args:
        out: Checkpoint folder; its state while it runs is beside it.
        data: As of ``models.distillation.teacher.prepare_teacher``, and so are ``size``, ``columns``, ``options`` and
            ``init``.
        size: Side of the pictures.
        columns: Of a table.
        options: What was asked for.
        init: Checkpoint folder to start from.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` exists, data or device are not to be had, or the data do not fit the checkpoint.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    refuse_out(out)
    run = prepare_teacher(
        options, data=data, size=size, columns=columns, init=init, device=pick_device(device), execution=execution
    )
    trained, state_path = _trained(run, out)
    if process_index():
        return
    with last_step(out, state_path):
        run.save(out, trained, state_path, command=command)
    state_path.unlink(missing_ok=True)


def train_classifier(
    *,
    out: Path,
    data: str,
    test: str | None = None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    options: ClassifierOptions,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
) -> ClassifierCard:
    """Train a classifier and write it with its accuracy on images that it has not seen.

    Args:
        out: Folder to write; the state of the run is beside it while it lasts.
        data: As of ``models.classifiers.training.prepare_classifier``, and so are ``test``, ``size``, ``columns`` and
            ``options``.
        test: What to test on.
        size: Side of the pictures.
        columns: Of tables.
        options: What was asked for.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How the network is run.
        command: Recorded in the card.

    Raises:
        InvalidRequest: ``out`` cannot be written, the data have no labels, the test data others, or data or device are
            not to be had.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    refuse_processes("batch normalisation would see the images of one process only; start it without torchrun")
    refuse_out(out)
    run = prepare_classifier(
        options, data=data, test=test, size=size, columns=columns, device=pick_device(device), execution=execution
    )
    trained, state_path = _trained(run, out)
    with last_step(out, state_path):
        card = run.save(out, trained, state_path, command=command)
    state_path.unlink(missing_ok=True)
    return card


def _trained(run: Run[_Network], out: Path) -> tuple[_Network, Path]:
    """What is trained before the terminal, and where its state is kept."""
    say(run.about)
    state_path = state_path_of(out)
    with terminal_progress(str(out), batch_size=run.config.batch_size) as on_progress:
        return run.train(state_path, on_progress), state_path


def distill_chain(
    *,
    teacher: Path,
    from_steps: int,
    to_steps: int,
    out: Path,
    method: LoadedMethod,
    data: str | None,
    size: int | None = None,
    columns: Columns = ALL_FOUND,
    synthetic: SyntheticConfig | None = None,
    config: TrainConfig,
    device: str = "auto",
    execution: Execution = AUTO,
    command: str | None = None,
    guide: tuple[Path, float] | None = None,
) -> None:
    """Run a chain of rounds and write a checkpoint ``N-step`` into the family ``out`` for each.

    A chain that was cut off goes on where it was.

    Args:
        teacher: As of ``models.distillation.chain.prepare_chain``, and so are ``from_steps``, ``to_steps``, ``data``,
            ``size``, ``columns``, ``synthetic`` and ``config``.
        from_steps: Steps in which the teacher is sampled.
        to_steps: Steps of the last student.
        out: Family folder.
        method: How students learn; its networks must be on the same device.
        data: What to train on; None for a method that is shown no images.
        size: Side of the pictures.
        columns: Of a table.
        synthetic: Sample the images from the teacher instead.
        config: Of one round.
        device: As of ``models.sampling.engine.pick_device``.
        execution: How networks are run.
        command: Recorded in the cards.
        guide: Folder of the teacher's guide, and the guidance.

    Raises:
        InvalidRequest: The steps do not halve, data or guide do not fit the teacher, or a student exists already.
        StopTraining: Stopped by Ctrl-C or SIGTERM.
    """
    join_processes()
    rounds = rounds_from(read_card(teacher), method=method.declaration, from_steps=from_steps, to_steps=to_steps)
    folders = {this.num_steps: out / f"{this.num_steps}-step" for this in rounds}
    for folder in folders.values():
        if not state_path_of(folder).exists():  # else it is a part of this very chain
            refuse_out(folder)
    where = pick_device(device)
    led_by = None
    if guide:
        led_by = load_guide(guide[0], _name(guide[0]), teacher=read_card(teacher), guidance=guide[1], device=where)
    chain = prepare_chain(
        teacher=teacher,
        parent=_name(teacher),
        from_steps=from_steps,
        to_steps=to_steps,
        data=data,
        size=size,
        columns=columns,
        synthetic=synthetic,
        config=config,
        method=method,
        command=command,
        device=where,
        execution=execution,
        guide=led_by,
    )
    say(chain.material.about)
    chain.material.fill()

    def watch(this: Round) -> AbstractContextManager[OnProgress]:
        return terminal_progress(str(folders[this.num_steps]), batch_size=config.batch_size)

    states = {steps: state_path_of(folder) for steps, folder in folders.items()}
    for this, student in run_chain(chain, states=states, watch=watch):
        folder = folders[this.num_steps]
        if not process_index() and not (folder / CARD_NAME).exists():
            state = states[this.num_steps]
            with last_step(folder, state):
                save_student(folder, chain, this, student, family=out.name, facts=facts_of(state))
    if not process_index():
        for state in states.values():
            state.unlink(missing_ok=True)


def _name(checkpoint: Path) -> str:
    """Of a checkpoint in its folder, as cards have it."""
    return f"{checkpoint.parent.name}/{checkpoint.name}"
