"""The hyperparameters of a network, checked before PyTorch is loaded."""

import subprocess
import sys

import pytest
from helpers import PACKAGE, ROOT, module

hyperparameters = module("vision.hyperparameters")
StepError = module("core.step").StepError


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epoch": 20}, "training.hyperparameters.epoch: unknown; the nearest is epochs, and known are "),
        ({"learning_rate": 0}, "training.hyperparameters.learning_rate: 0 must be a number between 1e-07 and 10"),
        ({"learning_rate": "1e-3"}, "training.hyperparameters.learning_rate: '1e-3' must be a number between "),
        ({"epochs": 1.5}, "training.hyperparameters.epochs: 1.5 must be an integer"),
        ({"epochs": 0}, "training.hyperparameters.epochs: 0 must be a number between 1 and 100000"),
        ({"freeze": "yes"}, "training.hyperparameters.freeze: 'yes' must be true or false"),
        ({"freeze": True}, "training.hyperparameters.freeze: small_cnn is not pretrained, so all of it must learn"),
        ({"device": "tpu"}, "training.hyperparameters.device: 'tpu' is unknown; choose one of auto, cpu, gpu"),
        ({"class_weights": 1}, "training.hyperparameters.class_weights: 1 is unknown; choose one of none, balanced"),
        ({"backbone": 18}, "training.hyperparameters.backbone: 18 must be the name of a network"),
        ({"backbone": "smal_cnn"}, "training.hyperparameters.backbone: 'smal_cnn' is unknown; choose one of small_cnn"),
        ({"backbone": "torchvision:"}, "training.hyperparameters.backbone: 'torchvision:' is unknown; choose one of"),
        ({"augment": True}, "training.hyperparameters.augment: must be `name: value` lines"),
        ({"augment": {"rotate": 1}}, "training.hyperparameters.augment.rotate: unknown; the nearest is rotation, and"),
        ({"augment": {"shift": 0.9}}, "training.hyperparameters.augment.shift: 0.9 must be a number between 0 and 0.5"),
        ({"augment": {"flip_up_down": 1}}, "training.hyperparameters.augment.flip_up_down: 1 must be true or false"),
    ],
)
def test_a_wrong_hyperparameter_is_one_line(given, line):
    [found] = hyperparameters.check(given)
    assert found.startswith(line)
    with pytest.raises(StepError) as error:
        hyperparameters.Hyperparameters.of(given)
    assert str(error.value) == found


def test_all_wrong_hyperparameters_are_named_at_once():
    given = {"epoch": 20, "backbone": "smal_cnn", "augment": {"rotate": 1, "shift": 2}, "patience": True}
    names = [line.split(": ")[0].removeprefix("training.hyperparameters.") for line in hyperparameters.check(given)]
    assert names == ["epoch", "backbone", "augment.rotate", "augment.shift", "patience"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"backbone": None, "augment": None, "size": None, "epochs": 20},
        {"backbone": "torchvision:resnet18", "freeze": True},
        {"backbone": "timm:any.name", "augment": {"rotation": None, "flip_left_right": True}},
    ],
)
def test_what_is_left_out_has_a_default_and_a_library_is_not_asked_for_its_names(given):
    assert hyperparameters.check(given) == []
    assert hyperparameters.Hyperparameters.of(given).epochs == given.get("epochs", 12)


def test_the_settings_are_checked_without_pytorch():
    paths = f"Path({str(ROOT / 'data' / 'schema.yml')!r}), Path({str(ROOT / 'config' / 'model.yml')!r})"
    code = f"""
import sys
from pathlib import Path
from {PACKAGE}.core.endpoint import check_settings
from {PACKAGE}.modality import MODALITY
found = check_settings(MODALITY, {paths}, "training.hyperparameters.epoch=20 training.hyperparameters.freeze=true")
assert [line.split(": ")[1].rpartition(".")[2] for line in found] == ["epoch", "freeze"], found
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "data-science" / "src")
