"""Methods as tests want them."""

from functools import partial

import torch

from core.methods.declaration import find_method
from core.methods.rdd import RDDOptions
from models.classifiers.classifier import Classifier
from models.distillation.halving import StudentLoss, by_halving
from models.distillation.method import Built, LoadedMethod, load_method
from models.distillation.methods.cfd import CFDConfig, cfd_loss
from models.distillation.methods.pd import pd_loss
from models.distillation.methods.rdd import relating
from models.distillation.methods.sfd import along, l1_loss

PD: LoadedMethod = load_method(find_method("pd"), given={}, image_shape=(1, 1, 1))


def of_loss(student_loss: StudentLoss) -> Built:
    """Halving, with any loss."""
    return Built(begin=by_halving(student_loss))


def built(name: str) -> Built:
    """A method, through a small classifier of RGB images if it needs one."""
    torch.manual_seed(1)
    classifier = Classifier("resnet-small", channels=3, num_classes=10, mean=(0.0,) * 3, std=(1.0,) * 3)
    with torch.no_grad():
        classifier.head.weight *= 30  # so that it tells images apart
    classifier.requires_grad_(False).eval()
    match name:
        case "pd":
            return of_loss(pd_loss)
        case "cfd":
            # Far more of the dataset term than the paper takes, so that a wrong gradient of diversity shows.
            config = CFDConfig(dataset_weight=1.0, entropy_share=0.25)
            return of_loss(partial(cfd_loss, classify=classifier, config=config))
        case "rdd":
            options = RDDOptions(temperature=0.9, relation_weight=30.0, memory_weight=1.0)
            return Built(begin=relating(classifier.maps, options=options, width=classifier.num_features))
        case _:
            return Built(begin=along("dpm++", l1_loss))
