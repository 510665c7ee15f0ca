"""Methods as tests want them."""

from core.methods.declaration import find_method
from models.distillation.halving import StudentLoss, by_halving
from models.distillation.method import Built, LoadedMethod, load_method

PD: LoadedMethod = load_method(find_method("pd"), given={}, image_shape=(1, 1, 1))


def of_loss(student_loss: StudentLoss) -> Built:
    """Halving, with any loss."""
    return Built(begin=by_halving(student_loss))
