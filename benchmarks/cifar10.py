"""The paper's experiment: CIFAR-10 families by PD, CFD and SFD from one teacher, and the table that compares them.

``python -m benchmarks.cifar10 --data FOLDER --out FOLDER --minutes 9`` works for so long and goes on where it was when
it is called again, here or, with ``--out`` copied, on another machine; at the end it prints the table. FOLDER has
``train.parquet`` and ``test.parquet`` in the Hugging Face Hub's image layout. Every stage is one command of ``fewstep``
that a user could type; ``--list`` prints them. ``--scale toy`` runs them all in minutes on a CPU, to try the path.

``--scale gpu``: the network is sized for weights of 8 MB in float16 (3.7 million, 1.6 GFLOP a call) and for half an
hour of an H200 for the teacher: 60,000 iterations of 1,024 images at three calls each are 0.29 EFLOP, or 13 minutes at
40% of the card's peak in bf16 and 27 at 20%. No GPU has run it yet.

``--scale cpu``: the network of decision 45, of which all five checkpoints and both classifiers take 40 MB, for two
cores that multiply bf16 (else thrice as long). The chain begins with 16 steps of a teacher led away from its first leg.
"""

import argparse
import io
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.shared.common import machine, table
from benchmarks.shared.parts import join, split
from core.methods.declaration import find_method
from models.cli.main import main as fewstep
from models.sampling.host import multiplies_bf16

SECONDS_TO_SAVE = 60
_IN_A_PROCESS = """
import json, sys
from pathlib import Path
try:
    from benchmarks.cifar10 import Stage, several
    several([Stage(Path(makes), command) for makes, command in json.loads(sys.argv[1])])
except KeyboardInterrupt:  # as early as while it imports
    sys.exit(130)
"""
STEPS = (8, 4, 2, 1)
CFD = {
    "cfd": "--temperature 0.95 --dataset-weight 0.003 --entropy-share 0.75",
    "cfd-densenet": "--temperature 0.9 --dataset-weight 0",
}
"""The paper's two sets of values, for ResNets, as the classifier is, and for DenseNets."""
QUICKLY = "--batch-size 128 --optimizer muon --learning-rate 1e-2 --weight-decay 0.1 --label-smoothing 0.1 --shift 2"
"""What suits classifiers that see each image ten to forty times."""
SFD = {4: 1, 2: 1.5}
"""Iterations by steps, in those of the chain's first round, so that it has as many as the chain by then: a round to two
steps or one is twice as long."""
HEAD = ("model", "steps", "Fréchet distance", "classifier score", "precision", "recall", "right", "least right")


@dataclass(frozen=True)
class Scale:
    """How much of everything, as options of the commands.

    Attributes:
        network: Of the teacher.
        teacher: How it learns.
        legs: What is added to that for each of its legs, which go on from the averaged weights of the one before.
        classifier: Of what CFD distils through.
        judge: Of what judges.
        student: How students learn.
        start: Steps of the teacher in the first round of PD.
        halving: Options of the rounds of PD from there to 8 steps.
        guidance: By which whoever learns from the teacher itself is led away from its first leg; 1: not at all.
        iterations: Of a round from 8 steps on.
        samples: To judge.
        bf16: Whether to train in it also on a CPU, where that has instructions for it.
    """

    network: str
    teacher: str
    legs: tuple[str, ...]
    classifier: str
    judge: str
    student: str
    start: int
    halving: str
    iterations: int
    samples: int
    guidance: float = 1
    bf16: bool = False


SCALES = {
    "gpu": Scale(
        network="--channels 32 --multipliers 2,3,4 --attention 1 --blocks 1 --dropout 0.1",
        teacher="--batch-size 1024 --learning-rate 1e-3 --warmup 1000 --ema-decay 0.9995",
        legs=("--iterations 60000 --decay cosine",),
        classifier="--architecture resnet-18 --iterations 8000 --batch-size 512",
        judge="--architecture densenet-small --iterations 8000 --batch-size 512",
        student="--batch-size 512 --learning-rate 2e-4",
        start=1024,
        halving="--iterations 1000",
        iterations=2_000,
        samples=50_000,
    ),
    "cpu": Scale(
        network="--channels 32 --multipliers 1,2,4 --attention 2 --blocks 1 --dropout 0",
        teacher="--batch-size 64 --optimizer muon --learning-rate 2e-3 --max-snr 5 --warmup 200 --ema-decay 0.999",
        legs=(
            "--iterations 4500",
            "--iterations 4500 --decay cosine",
            "--iterations 5000 --decay cosine",
            "--iterations 7000 --decay cosine --seed 3",
            "--iterations 6300 --decay cosine --seed 4",
        ),
        classifier=f"--architecture resnet-9 --iterations 15000 --cutout 12 {QUICKLY}",
        judge=f"--architecture densenet-26 --iterations 7000 --cutout 8 {QUICKLY}",
        student="--batch-size 64 --optimizer muon --learning-rate 1e-3",
        start=16,
        halving="--iterations 400 --learning-rate 2e-3",
        guidance=3,
        iterations=140,
        samples=10_000,
        bf16=True,
    ),
    "toy": Scale(
        network="--channels 32 --multipliers 1,1 --attention 1 --blocks 1 --dropout 0",
        teacher="--batch-size 8 --optimizer muon --learning-rate 1e-3 --warmup 1 --ema-decay 0.5",
        legs=("--iterations 2", "--iterations 2 --decay cosine"),
        classifier="--architecture resnet-9 --iterations 4 --batch-size 8",
        judge="--architecture densenet-26 --iterations 4 --batch-size 8",
        student="--batch-size 8 --learning-rate 2e-4",
        start=32,
        halving="--iterations 1",
        guidance=2,
        iterations=1,
        samples=32,
    ),
}


@dataclass(frozen=True)
class Stage:
    """A command, and the file or folder that is there once it is done."""

    makes: Path
    command: str


def stages(scale: Scale, *, data: Path, out: Path) -> Iterator[Stage]:
    """All that is to be done, in order."""
    ours, train, test = out / "cifar10", shlex.quote(f"{data}/train.parquet"), shlex.quote(f"{data}/test.parquet")
    first = ours / "8-step"
    precision = "bf16" if scale.bf16 and multiplies_bf16() else "auto"
    network = f"--class-conditional {scale.network}"
    for number, leg in enumerate(scale.legs, 1):
        made = ours / "teacher" if number == len(scale.legs) else out / "legs" / str(number)
        learn = f"--data {train} {scale.teacher} {leg} --precision {precision}"
        yield Stage(made, f"train --out {made} {network} {learn}")
        network = f"--init {made}"
    for name, how, seed in (("classifier", scale.classifier, 0), ("judge", scale.judge, 1)):
        yield Stage(
            ours / name,
            f"train-classifier --out {ours}/{name} --data {train} --test {test} {how} --seed {seed} "
            f"--precision {precision}",
        )
    distil = f"distill {scale.student} --precision {precision}"
    teacher = f"--teacher {ours}/teacher"
    if scale.guidance > 1:
        teacher += f" --guide {out}/legs/1 --guidance {scale.guidance:g}"
    along, distil = f"{distil} --out {out}/sfd --method sfd", f"{distil} --data {train}"
    rounds = f"{distil} --iterations {scale.iterations} --from 8 --to 1 --teacher {first}"
    halve = f"{distil} {scale.halving} {teacher} --from {scale.start} --to {STEPS[0]}"
    yield Stage(first, f"{halve} --method pd --out {ours}")
    for name, options in CFD.items():
        family = ours if name == "cfd" else out / name
        yield Stage(family / "1-step", f"{rounds} --out {family} --method cfd --classifier {ours}/classifier {options}")
    yield Stage(out / "pd" / "1-step", f"{rounds} --out {out}/pd --method pd")
    for steps, rounds_of in SFD.items():
        start, iterations = find_method("sfd").usual_start(steps), round(rounds_of * scale.iterations)
        first_stage = f"{teacher} --iterations {iterations} --from {start} --to {steps}"
        yield Stage(out / "sfd" / f"{steps}-step", f"{along} {first_stage}")
    # as its authors do it; both stages have as many iterations as the chain
    second_stage = f"--teacher {out}/sfd/4-step --iterations {2 * scale.iterations} --from 4 --to 1"
    yield Stage(out / "sfd" / "1-step", f"{along} {second_stage}")
    for name, steps, folder in judged(out):
        yield Stage(
            out / "figures" / f"{name}-{steps}.json",
            f"evaluate {folder} --steps {steps} --data {train} --judge {ours}/judge --n {scale.samples} --json",
        )
        grid = out / "grids" / f"{name}-{steps}.png"
        yield Stage(grid, f"sample {folder} --steps {steps} --n 64 --seed 0 --out {grid}")


def judged(out: Path) -> Iterator[tuple[str, int, Path]]:
    """What is compared: name, steps and checkpoint."""
    families = {"pd": out / "pd", "cfd": out / "cifar10", "cfd-densenet": out / "cfd-densenet", "sfd": out / "sfd"}
    for steps in STEPS:
        yield "ddim", steps, out / "cifar10" / "teacher"
        for name, family in families.items():
            if steps < STEPS[0]:
                yield name, steps, family / f"{steps}-step"
    yield "pd", STEPS[0], out / "cifar10" / "8-step"


def groups(todo: list[Stage]) -> Iterator[list[Stage]]:
    """What one process does: a stage that trains, or all that sample, which then import and compile once."""
    for samples, stages_of_kind in groupby(todo, lambda stage: stage.command.split()[0] in ("evaluate", "sample")):
        group = list(stages_of_kind)
        yield from [group] if samples else ([stage] for stage in group)


def several(todo: list[Stage]) -> None:
    """Do stages one after the other in this process; figures go to files. Exits where one fails or is stopped."""
    for stage in todo:
        print(f"fewstep {stage.command}", file=sys.stderr, flush=True)
        sys.argv = ["fewstep", *shlex.split(stage.command)]
        figures = io.StringIO() if stage.makes.suffix == ".json" else sys.stderr
        try:
            with redirect_stdout(figures):
                fewstep()
        except SystemExit as end:
            if end.code:
                raise
        if isinstance(figures, io.StringIO):
            stage.makes.write_text(figures.getvalue())
        assert stage.makes.exists(), stage


def work(todo: list[Stage], *, out: Path, seconds: float) -> bool:
    """Run stages until the time is over. Returns whether all are done.

    A stage whose time is over is asked to save and stop, as by Ctrl-C.
    """
    spent_file = out / "seconds.json"
    spent: dict[str, float] = json.loads(spent_file.read_text()) if spent_file.exists() else {}
    until = time.monotonic() + seconds
    for group in groups([stage for stage in todo if not stage.makes.exists()]):
        if time.monotonic() >= until:
            return False
        for stage in group:
            stage.makes.parent.mkdir(parents=True, exist_ok=True)
        given = json.dumps([[str(stage.makes), stage.command] for stage in group])
        started = time.monotonic()
        with subprocess.Popen([sys.executable, "-c", _IN_A_PROCESS, given], stdout=sys.stderr) as process:
            try:
                process.wait(until - started)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                process.wait(SECONDS_TO_SAVE)
        key = str(group[0].makes.relative_to(out))
        spent[key] = spent.get(key, 0) + time.monotonic() - started
        spent_file.write_text(json.dumps(spent, indent=2))
        if process.returncode == 130:
            return False
        if process.returncode:
            raise SystemExit(process.returncode)
    return True


def report(out: Path) -> str:
    """The table, and what it took."""
    rows: list[list[object]] = []
    for name, steps, _ in judged(out):
        (one,) = json.loads((out / "figures" / f"{name}-{steps}.json").read_text())
        figures = ("frechet_distance", "inception_score", "precision", "recall", "right", "least_right")
        rows.append([name, steps, *(one[figure] for figure in figures)])
    spent = sum(json.loads((out / "seconds.json").read_text()).values())
    facts = (
        f"{one['samples']:,} samples against {one['data_images']:,} images, judged by {one['extractor']} "
        f"({one['extractor_sha256'][:12]}); floor, {one['floor_of']}: {one['floor']:.3f}. {spent / 60:.0f} minutes."
    )
    return f"{machine()}\n\n{table(HEAD, rows)}\n\n{facts}"


def main() -> None:
    """Go on with the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("var/benchmarks/cifar10"))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which to stop and save")
    parser.add_argument("--scale", choices=SCALES, default="gpu")
    parser.add_argument("--list", action="store_true", help="print the commands and do nothing")
    options = parser.parse_args()
    scale = SCALES[options.scale]
    todo = list(stages(scale, data=options.data, out=options.out))
    if options.list:
        print("\n".join(f"fewstep {stage.command}" for stage in todo))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    join(options.out)
    try:
        done = work(todo, out=options.out, seconds=60 * min(options.minutes, 1e6))
    finally:
        split(options.out)
    print(report(options.out) if done else "to be continued: the same command goes on from here")


if __name__ == "__main__":
    main()
