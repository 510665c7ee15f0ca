"""The methods on digits: students of 8, 4, 3, 2 and 1 steps from one teacher, at equal compute or equal iterations.

Every result has the same budget, and every seed its own batches, steps and noise. A judge that no student was distilled
through gives the figures. What is done is kept in ``--out``: the command goes on where it was cut off, and ``--table``
prints what there is. Compute is counted in forward passes of the U-Net for one image, F; a step of the student is 3 F.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.shared.common import machine
from core.catalog.card import SHIPPED_CHECKPOINTS, read_card
from core.methods.declaration import find_method
from models.checkpoints.stored import read_stored
from models.classifiers.checkpoint import load_classifier
from models.cli.runs import distill_chain
from models.data.dataset import load_data
from models.distillation.method import load_method
from models.distillation.rounds import round_config
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.extractors import judge_extractor, refuse_distilled_through
from models.evaluation.reference import load_reference
from models.sampling.engine import Sampler
from models.sampling.flops import count_flops
from models.training.trainer import TrainConfig

DIGITS = SHIPPED_CHECKPOINTS / "digits"
STEPS = (8, 4, 3, 2, 1)
FEATURES = {"classifier": str(DIGITS / "classifier"), "temperature": 0.9}
CFD = {**FEATURES, "dataset_weight": 0.0}
"""The better of the paper's two sets of values on digits."""


@dataclass(frozen=True)
class Stage:
    """Some rounds of one method.

    Attributes:
        to_steps: Of its last student; the first is taught by the last of the stage before, or by the teacher.
        from_steps: In which that is sampled.
    """

    method: str
    from_steps: int
    to_steps: int
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def rounds(self) -> tuple[int, ...]:
        """Steps of each round's student."""
        steps = find_method(self.method).plan(self.from_steps, self.to_steps, convert=False)
        assert steps is not None, self
        return steps

    def forwards(self, c: float) -> float:
        """F for one image and an iteration of each round, two of those to two steps or one.

        ``c`` is a pass of the classifier in F, which is passed three times.
        """
        through = 3 * c if "classifier" in self.options else 0.0
        # In RDD, relation, memory and head cost about a tenth of the classifier here.
        beside = 0.3 * c if self.method == "rdd" else 0.0
        teacher = 2 if find_method(self.method).halves else self.from_steps // self.to_steps
        # The other solver takes twice as many steps to a target, and only a teacher that was not distilled has it.
        finer = teacher if self.options.get("solver") == "dpm++" else 0
        return finer + (teacher + 3 + through + beside) * self.repeats

    @property
    def repeats(self) -> int:
        """Iterations of all rounds for one that is asked for."""
        return sum(round_config(TrainConfig(iterations=1), steps).iterations for steps in self.rounds)


def halving(method: str, options: Mapping[str, object]) -> Callable[[int], list[Stage] | None]:
    """From 16 steps by PD to twice the last 8, and on by a method."""

    def stages(steps: int) -> list[Stage] | None:
        if steps not in (8, 4, 2, 1):
            return None
        if method == "pd" or steps == 8:
            return [Stage(method, 16, steps, options)]
        return [Stage("pd", 16, 8), Stage(method, 8, steps, options)]

    return stages


def along(**options: object) -> Callable[[int], list[Stage] | None]:
    """SFD, straight from the teacher."""
    return lambda steps: [Stage("sfd", find_method("sfd").usual_start(steps), steps, options)]


def along_twice(**options: object) -> Callable[[int], list[Stage] | None]:
    """SFD to 4 steps, and from there to fewer."""
    return lambda steps: [*(along(**options)(4) or ()), Stage("sfd", 4, steps, options)] if steps in (2, 1) else None


ARMS: dict[str, Callable[[int], list[Stage] | None]] = {
    "PD": halving("pd", {}),
    "CFD": halving("cfd", CFD),
    "RDD": halving("rdd", FEATURES),
    "SFD": along(),
    "SFD, cfd": along(loss="cfd", **CFD),
    "SFD, cfd, second stage": along_twice(loss="cfd", **CFD),
    "PD, first targets by DPM-Solver++": halving("pd", {"solver": "dpm++"}),
}


@dataclass(frozen=True)
class Result:
    """One student to be made and judged."""

    arm: str
    steps: int
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        return out / f"{list(ARMS).index(self.arm)}-{self.steps}-{self.seed}"


def work(result: Result, arguments: argparse.Namespace) -> None:
    """Make a student, and write its figures."""
    torch.set_num_threads(1)  # small networks gain little from a second
    folder = result.folder(arguments.out)
    stages = ARMS[result.arm](result.steps)
    assert stages is not None
    teacher, name = DIGITS / "teacher", "digits/teacher"
    c = classifier_share()
    for number, stage in enumerate(stages):
        family = folder / f"stage{number}"
        if not (family / f"{stage.to_steps}-step" / "card.json").exists():
            share = arguments.budget / len(stages)
            cost = stage.forwards(c) * arguments.batch_size if arguments.unit == "forwards" else stage.repeats
            config = TrainConfig(
                iterations=max(1, math.floor(share / cost)),
                batch_size=arguments.batch_size,
                learning_rate=arguments.learning_rate,
                decay="cosine",
                seed=result.seed,
            )
            card = read_card(teacher)
            distill_chain(
                teacher=teacher,
                from_steps=stage.from_steps,
                to_steps=stage.to_steps,
                out=family,
                method=load_method(
                    find_method(stage.method),
                    given=stage.options,
                    image_shape=card.image_shape,
                    knows_all_rows=card.knows_all_rows,
                    device="cpu",
                ),
                data="digits" if find_method(stage.method).needs_images else None,
                config=config,
                device="cpu",
                command=f"benchmarks.methods: {name}",
            )
        teacher, name = family / f"{stage.to_steps}-step", f"stage{number}"
    write(folder / "figures.json", judged(teacher, result.steps, arguments))


def classifier_share() -> float:
    """A pass of the classifier in passes of the U-Net."""
    teacher = read_stored(DIGITS / "teacher")
    classifier, _ = load_classifier(DIGITS / "classifier")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        classifier(torch.zeros(1, *teacher.card.image_shape))
    flops: int = counter.get_total_flops()
    return flops / count_flops(teacher.config, teacher.weights)


def judged(checkpoint: Path, num_steps: int, arguments: argparse.Namespace) -> Evaluation:
    """By the shipped judge."""
    train = load_data("digits")
    refuse_distilled_through(DIGITS / "judge", checkpoint)
    extractor = judge_extractor(DIGITS / "judge", image_shape=train.image_shape, device=torch.device("cpu"))
    return evaluate(
        Sampler(checkpoint, device="cpu"),
        num_steps=num_steps,
        count=arguments.samples,
        extractor=extractor,
        train=train,
        reference=load_reference("digits", train, size=None, extractor=extractor),
    )


def write(path: Path, evaluation: Evaluation) -> None:
    """Figures of a student, or of the teacher."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(evaluation)))


def results(arguments: argparse.Namespace) -> Iterator[Result]:
    """All of them, the first seed of all first."""
    for seed in arguments.seeds:
        for steps in arguments.steps:
            for arm, stages in ARMS.items():
                if stages(steps):
                    yield Result(arm, steps, seed)


def table(title: str, figure: str, arguments: argparse.Namespace) -> str:
    """Markdown: a line for each method, a column for each number of steps; mean ± deviation over seeds."""
    lines = [f"| {title} | {' | '.join(map(str, arguments.steps))} |", "|---" * (len(arguments.steps) + 1) + "|"]
    for arm in ("teacher, DDIM", *ARMS):
        cells = []
        for steps in arguments.steps:
            made = [Result(arm, steps, seed).folder(arguments.out) for seed in arguments.seeds] if arm in ARMS else []
            paths = made or [arguments.out / f"teacher-{steps}"]
            files = [path / "figures.json" for path in paths if (path / "figures.json").exists()]
            values = [float(json.loads(file.read_text())[figure]) for file in files]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}" if values else "")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Distil, judge, print the tables."""
    arguments = parse()
    todo = [one for one in results(arguments) if not (one.folder(arguments.out) / "figures.json").exists()]
    if not arguments.table:
        for steps in arguments.steps:
            if not (file := arguments.out / f"teacher-{steps}" / "figures.json").exists():
                write(file, judged(DIGITS / "teacher", steps, arguments))
        with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
            for done in tqdm(as_completed([pool.submit(work, one, arguments) for one in todo]), total=len(todo)):
                done.result()
    print(
        f"{machine()}\n\n{arguments.budget:g} {arguments.unit} a result, batch {arguments.batch_size}, learning rate "
        f"{arguments.learning_rate:g}, {len(arguments.seeds)} seeds, {arguments.samples:,} samples; the classifier "
        f"costs {classifier_share():.3f} F a pass.\n"
    )
    for title, figure in (("Fréchet distance", "frechet_distance"), ("recall", "recall"), ("precision", "precision")):
        print(table(title, figure, arguments))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--budget", type=float, default=60_000, help="of each result, in --unit")
    parser.add_argument("--unit", choices=("forwards", "iterations"), default="forwards", help="what is equal")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what there is, and do nothing")
    parser.add_argument("--out", type=Path, default=Path("var/benchmarks/methods"), help="where students are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
