"""Numbers computed by the RDD authors' own code, but for the enqueue, which is mended (see golden/README.md)."""

import pytest
import torch
from torch import Tensor

from models.diffusion.schedule import step_rows
from models.distillation.memory import Memory
from models.distillation.methods.cfd import feature_kl
from models.distillation.methods.rdd import pixels_of, recall, relation
from models.distillation.target import target_batch
from tests.models.golden.vectors import Golden, GoldenClassifier, assert_close, assert_gradients_close, denoiser


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("sfd_rdd_vectors")


def related(targets: Tensor, students: Tensor) -> Tensor:
    return relation(targets, students, all_targets=targets, all_students=students)


def memory_of(golden: Golden, case: str, *, learning_rate: float = 1e-3) -> Memory:
    """As it was before."""
    queue = golden[f"rdd.{case}.queue_before"]
    memory = Memory(queue.shape[1], seed=0, size=len(queue), learning_rate=learning_rate)
    memory.queue.copy_(queue)
    memory.head.load_state_dict(golden.state(f"rdd.{case}.head."))
    return memory


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=2e-4, atol=0)


def near(actual: Tensor | None, expected: Tensor, tolerance: float) -> None:
    assert actual is not None
    assert (actual - expected).norm() <= tolerance * expected.norm()


def test_the_whole_loss_of_a_round(golden: Golden) -> None:
    networks, config = Golden(), golden.config["rdd"]["full"]
    teacher, student = denoiser(networks, "teacher"), denoiser(networks, "student")
    classifier = GoldenClassifier(networks.state("classifier."))
    rows = torch.tensor(step_rows(config["teacher_steps"]))
    x, eps, step = (golden[f"rdd.full.{name}"] for name in ("x_0", "noise", "k"))
    batch = target_batch(teacher, schedule=teacher.schedule, rows=rows, x=x, eps=eps, step=step)
    target_maps = classifier.maps(batch.x_target)
    maps = classifier.maps(student(batch.z_t, batch.row_t))
    assert_close(target_maps, golden["rdd.full.map_target"])
    assert_close(maps, golden["rdd.full.map_student"])

    features = feature_kl(
        25 * target_maps.mean((2, 3)), 25 * maps.mean((2, 3)), temperature=golden.config["rdd"]["full"]["temperature"]
    )
    close(features, golden["rdd.full.feature_kl"])
    targets = pixels_of(target_maps)
    alike = related(targets, pixels_of(maps))
    close(alike, golden["rdd.full.relation"])
    memory = memory_of(golden, "full")
    queue = golden["rdd.full.queue_after"]  # theirs, which are no pixels
    keys = queue[torch.linspace(0, len(queue) - 1, config["contrast"]).round().long()]
    recalled = config["factor"] * recall(targets, pixels_of(memory.head(maps)), keys)
    close(recalled, golden["rdd.full.memory"])
    loss = features + alike + recalled
    close(loss, golden["rdd.full.loss"])
    loss.backward()
    assert_gradients_close(student, golden, "rdd.full.grad", 5e-3)
    for name, parameter in memory.head.named_parameters():
        near(parameter.grad, golden[f"rdd.full.grad_project_head.{name}"], 5e-3)


def test_the_relation_of_a_batch_is_no_mean_of_its_halves(golden: Golden) -> None:
    targets = pixels_of(golden["rdd.relation.map_target"])
    maps = golden["rdd.relation.map_student"].requires_grad_()
    loss = related(targets, pixels_of(maps))
    close(loss, golden["rdd.relation.loss"])
    loss.backward()
    near(maps.grad, golden["rdd.relation.grad_map_student"], 1e-3)
    halves = [related(own, pixels) for own, pixels in zip(targets.chunk(2), pixels_of(maps).chunk(2), strict=True)]
    close(torch.stack(halves), golden["rdd.relation.loss_of_halves"])


def test_the_memory_over_iterations(golden: Golden) -> None:
    config = golden.config["rdd"]["queue_fixed"]
    memory = memory_of(golden, "queue", learning_rate=config["lr"])
    keys, update = golden["rdd.queue.keys"], config["update"]
    for index in range(5):
        theirs = int(golden[f"rdd.queue_fixed.pointer.{index}"])
        if theirs == 0:  # where theirs would not fit any more, it overwrites the last rows
            memory.pointer.fill_(len(memory.queue) - update)
        maps = golden[f"rdd.queue.map_student.{index}"].requires_grad_()
        targets = pixels_of(golden[f"rdd.queue.map_target.{index}"])
        queue = memory.renew(targets.flatten(0, 1)[golden[f"rdd.queue.perm.{index}"]])
        loss = config["factor"] * recall(targets, pixels_of(memory.head(maps)), queue[keys])
        close(loss, golden[f"rdd.queue_fixed.loss.{index}"])
        assert memory.optimizer is not None
        memory.optimizer.zero_grad()
        loss.backward()
        if index == 0:
            near(maps.grad, golden["rdd.queue_fixed.grad_map_student.0"], 1e-3)
            for name, parameter in memory.head.named_parameters():
                near(parameter.grad, golden[f"rdd.queue_fixed.grad_head.{name}"], 1e-3)
        memory.optimizer.step()
        memory.commit()
        assert int(memory.pointer) == theirs
    assert_close(memory.queue, golden["rdd.queue_fixed.queue_after"])
    for name, parameter in memory.head.named_parameters():
        assert_close(parameter, golden[f"rdd.queue_fixed.head_after.{name}"])


def test_the_oldest_are_replaced_and_nothing_before_the_commit() -> None:
    memory = Memory(2, seed=0, size=4)
    before = memory.queue.clone()
    pixels = torch.arange(6.0).view(3, 2)
    for _ in range(2):  # an iteration that diverged is done again
        renewed = memory.renew(pixels)
        assert torch.equal(memory.queue, before)
        assert torch.equal(renewed, torch.cat([pixels, before[3:]]))
    memory.commit()
    memory.renew(pixels)
    memory.commit()
    assert torch.equal(memory.queue, torch.stack([pixels[1], pixels[2], pixels[2], pixels[0]]))
    assert int(memory.pointer) == 2
