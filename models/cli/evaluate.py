"""``fewstep evaluate``: samples of checkpoints against a data set."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.catalog.card import (
    CARD_NAME,
    SHIPPED_CHECKPOINTS,
    find_folder,
    locate_checkpoint,
    locate_family,
    read_card,
)
from core.catalog.classifier_card import locate_classifier
from core.errors import InvalidRequest
from models.cli.options import (
    Checkpoints,
    Data,
    Device,
    ImageColumn,
    LabelColumn,
    SamplingCompile,
    SamplingPrecision,
    Size,
    expanded,
    home,
)
from models.training.progress import progress_bar, say

if TYPE_CHECKING:
    from models.evaluation.evaluate import Evaluation

# What a command needs is imported when it runs: `fewstep --help` need not wait for torch and diffusers.

evaluation = typer.Typer()

_JUDGE = "judge"  # the folder that a family's judge is in
_FIGURES = (
    "Fréchet distance",
    "Inception score",
    "precision",
    "recall",
    "sure",
    "smallest class",
    "right",
    "least right",
)


@evaluation.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            parser=home,
            metavar="MODEL",
            help="A checkpoint (folder or family/name), or a family: without --steps all its students, "
            "and its teacher at as many steps.",
        ),
    ],
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    data: Data = "digits",
    size: Size = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    judge: Annotated[
        str | None,
        typer.Option(
            parser=home,
            metavar="TEXT",
            help="A classifier of another architecture than the one distilled through: a folder or family/name; "
            "by default the folder judge in the family.",
        ),
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="PATH",
            help="Weights of the FID's Inception-v3, in place of a judge: torch-fidelity's .pth.",
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(min=4, help="Samples; by default as many as there are images, from 2,000 to 50,000."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the first sample; sample i has seed + i.")] = 0,
    save: Annotated[bool, typer.Option("--save", help="Write the figures into the cards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known of the figures as JSON.")] = False,
    checkpoints: Checkpoints = SHIPPED_CHECKPOINTS,
    device: Device = "auto",
    precision: SamplingPrecision = "auto",
    compile_: SamplingCompile = None,
) -> None:
    """Judge samples: Fréchet distance, Inception score, precision, recall, and how sure the judge is of them."""
    from models.checkpoints.files import refuse_unwritable
    from models.data.classes import describe
    from models.data.dataset import load_data
    from models.data.parquet_files import Columns
    from models.evaluation.evaluate import default_count, pairs_of, save_evaluation
    from models.evaluation.evaluate import evaluate as evaluate_samples
    from models.evaluation.extractors import judge_extractor, refuse_distilled_through
    from models.evaluation.inception import inception_extractor
    from models.evaluation.reference import load_reference
    from models.sampling.compiled import pays
    from models.sampling.engine import Sampler, pick_device
    from models.training.execution import Execution

    if judge and inception:
        raise InvalidRequest("one of --judge and --inception judges, not both", field="inception")
    if steps is None and find_folder(checkpoints, model, CARD_NAME) is None:
        pairs = list(pairs_of(locate_family(checkpoints, model)))
    else:
        folder = locate_checkpoint(checkpoints, model, steps)
        pairs = [(folder, steps or read_card(folder).num_steps)]
    target = pick_device(device)
    Execution(precision=precision).precision_on(target)  # refused before anything is loaded
    for folder, _ in pairs if save else ():
        refuse_unwritable(folder / CARD_NAME, field="save")
    columns = Columns(image_column, label_column)
    train = load_data(data, size=size, columns=columns)
    if inception:
        extractor = inception_extractor(inception, device=target)
    else:
        judged_by = Path(locate_classifier(checkpoints, judge)) if judge else _judge_of_family(pairs[0][0])
        for folder, _ in pairs:
            refuse_distilled_through(judged_by, folder)
        extractor = judge_extractor(judged_by, image_shape=train.image_shape, classes=train.class_names, device=target)
    reference = load_reference(data, train, size=size, columns=columns, extractor=extractor)
    count = n or default_count(train)
    total = count * len(pairs)
    compiled = pays(count) if compile_ is None else compile_

    results: list[tuple[Path, Evaluation]] = []

    def show() -> None:
        bar.update(min(sampler.max_batch, total - bar.n))

    say(describe(train))
    with progress_bar(total=total, unit="img", unit_scale=True) as bar:
        for folder, num_steps in pairs:
            bar.set_description(f"{folder.name} in {num_steps}")
            sampler = Sampler(folder, device=device, precision=precision, compiled=compiled)
            result = evaluate_samples(
                sampler,
                num_steps=num_steps,
                count=count,
                first_seed=seed,
                extractor=extractor,
                train=train,
                reference=reference,
                between_batches=show,
            )
            results.append((folder, result))
    typer.echo(_as_json(results) if as_json else _table(results))
    if save:
        for folder, result in results:
            save_evaluation(folder, result)


def _judge_of_family(checkpoint: Path) -> Path:
    folder = checkpoint.resolve().parent / _JUDGE
    if not folder.is_dir():
        raise InvalidRequest(
            f"{folder.parent} has no {_JUDGE}; name a classifier of another architecture than the one distilled "
            "through, or Inception's weights by --inception",
            field="judge",
        )
    return folder


def _as_json(results: list[tuple[Path, "Evaluation"]]) -> str:
    return json.dumps([{"checkpoint": str(folder), **asdict(result)} for folder, result in results], indent=2)


def _table(results: list[tuple[Path, "Evaluation"]]) -> str:
    """Markdown, under what all figures have in common."""
    first = results[0][1]
    lines = [
        f"{first.samples:,} samples, seeds {first.first_seed} to {first.first_seed + first.samples - 1}, against "
        f"{first.data_images:,} images of {first.data} ({first.data_split}, {first.data_fingerprint[:12]})",
        f"judged by {first.extractor} ({first.extractor_sha256[:12]}); floor, {first.floor_of}: {first.floor:.3f}; "
        f"sampled in {' and '.join(sorted({one.sampled_in for _, one in results}))}",
        "",
        f"| steps | checkpoint | {' | '.join(_FIGURES)} |",
        f"|{'---|' * (2 + len(_FIGURES))}",
    ]
    for folder, one in results:
        score = f"{one.inception_score:.2f} ± {one.inception_score_deviation:.2f}"
        shares = (one.precision, one.recall, one.sure, one.smallest_class, one.right, one.least_right)
        cells = [f"{one.frechet_distance:.3f}", score, *("-" if share is None else f"{share:.3f}" for share in shares)]
        lines.append(f"| {one.num_steps} | {folder.parent.name}/{folder.name} | {' | '.join(cells)} |")
    return "\n".join(lines)
