"""A job that distils: its chain of rounds, each with what judges and rivals its student."""

from dataclasses import dataclass
from typing import Self

from core.catalog.card import read_card
from core.catalog.serving import Made, Promotion, serving_key
from core.jobs.references import RoundResult
from core.jobs.request import DistillJob
from models.distillation.chain import Chain, run_chain
from worker.distillation.load_job import load_job
from worker.distillation.rounds import Jury, finish_round
from worker.distillation.turn import Outcome, Turn


@dataclass(frozen=True)
class Distilling:
    """The chain of a job, and what judges its students."""

    job: DistillJob
    chain: Chain
    jury: Jury | None

    @classmethod
    def load(cls, job: DistillJob, turn: Turn) -> Self:
        """As of ``load_job``."""
        return cls(job, *load_job(job, turn.settings, turn.artifacts))

    @property
    def about(self) -> str:
        """The data in a line."""
        return self.chain.material.about

    def do(self, turn: Turn) -> list[RoundResult]:
        """As of ``Work``."""
        job, watch = self.job, turn.watch
        self.chain.material.fill(watch.beat)
        turn.fetch()
        results = list(turn.record.rounds)
        states = {steps: turn.state(str(steps)) for steps in job.steps}
        rounds = run_chain(
            self.chain,
            states=states,
            watch=lambda this: watch.of(job.steps.index(this.num_steps)),
            first=len(results),
        )
        for this, student in rounds:
            index = len(results)
            turn.trained(index)
            result = finish_round(
                self.chain,
                this,
                student,
                job=job,
                jury=self.jury,
                folder=turn.folder / f"{this.num_steps}-step",
                prefix=turn.prefix(index),
                artifacts=turn.artifacts,
                store=turn.store,
                settings=turn.settings,
                beat=watch.beat,
            )
            results.append(result)
            turn.finished(results)
        return results

    def outcome(self, turn: Turn, results: list[RoundResult]) -> Outcome:
        """The students as a family, and those of them that take the place of others."""
        made, promotions, job = {}, {}, self.job
        for result in results:
            card = read_card(turn.artifacts.folder(result.artifact))
            _, name = result.checkpoint.rsplit("/", 1)
            made[serving_key(job.name, name)] = Made(card=card, artifact=result.artifact, job=job.id, owner=job.owner)
            if result.promote and result.steps is not None:
                promotions[serving_key(job.teacher.family, result.steps)] = Promotion(
                    family=job.name,
                    checkpoint=name,
                    job=job.id,
                    at=turn.store.now(),
                    frechet_distance=(result.metrics or {}).get("frechet_distance"),
                    replaced=result.rival,
                    replaced_frechet_distance=result.rival_frechet_distance,
                )
        return Outcome(made=made, promotions=promotions)
