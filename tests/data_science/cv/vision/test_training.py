"""Training on images: settings, augmentation, early stopping, checkpoints, devices, and several processes."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import module, write_schema
from samples import CLASSES, SCHEMA, encoded, picture

training, pictures = module("vision.training"), module("vision.pictures")
hyperparameters, augmentation = module("vision.hyperparameters"), module("vision.augmentation")
checkpoints, processes, loop = module("neural.checkpoints"), module("neural.processes"), module("neural.loop")
Examples, StepError = module("core.modality").Examples, module("core.step").StepError
FEW = {"epochs": 3, "batch_size": 16, "size": 12, "learning_rate": 0.01}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def schema(tmp_path):
    return write_schema(SCHEMA, tmp_path)


def drawn(count=96, classes=CLASSES, seed=0, **options):
    """Return examples of the classes in turn; the cells are the files themselves."""
    places = [number % len(classes) for number in range(count)]
    files = [encoded(picture(place, 10_000 * seed + number, **options)) for number, place in enumerate(places)]
    labels = [classes[place] for place in places]
    return Examples(pd.DataFrame({"image": files, "place": labels, "camera": "a"}), Path())


def fit(examples, schema, folder=None, seed=13, threshold=None, **hyperparameters):
    settings = {"seed": seed, "threshold": threshold, "hyperparameters": {**FEW, **hyperparameters}}
    return training.fit(examples, schema, settings, folder)


def accuracy(trained, examples):
    return float((trained.predict(examples).values == examples.frame["place"].to_numpy()).mean())


def weights(trained):
    return torch.cat([value.flatten().float() for value in trained.network.state_dict().values()])


def test_a_few_epochs_tell_unseen_images_apart(schema):
    trained = fit(drawn(180), schema, epochs=8)
    assert accuracy(trained, drawn(60, seed=1)) > 0.9


def test_the_same_seed_gives_the_same_model_and_another_one_does_not(schema):
    first, again, other = (fit(drawn(), schema, seed=seed, epochs=1) for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_random_numbers_of_others_are_left_as_they_were(schema):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(drawn(), schema, epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("channels", "side", "count"), [(1, 28, 3), (3, 28, 3), (3, 96, 20)])
def test_other_images_need_no_other_code(tmp_path, channels, side, count):
    classes = [f"class {place:02}" for place in range(count)]
    column = {"type": "category", "values": classes}
    schema = write_schema(SCHEMA | {"columns": SCHEMA["columns"] | {"place": column}}, tmp_path)
    examples = drawn(3 * count, classes, side=side, channels=channels)
    trained = fit(examples, schema, size=None, epochs=1, validation=0)
    assert (trained.network.size, trained.network.channels) == (side, channels)
    assert trained.predict(examples).probabilities.shape == (3 * count, count)


def test_grey_and_colour_together_are_colour_and_the_median_side_is_the_size():
    files = [encoded(picture(0, 0, side)) for side in (8, 20, 40)] + [encoded(picture(0, 0, 24, channels=3))] * 2
    seen = pictures.look(files)
    assert (seen.size, seen.channels) == (24, 3)
    assert pictures.look(files[:1] * 3).channels == 1
    assert pictures.look([encoded(picture(0, 0, 1000))]).size == 128


def test_a_gpu_that_is_asked_for_and_absent_is_one_line(schema, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StepError, match=r"device: gpu is asked for, and PyTorch .* sees none: choose auto or cpu"):
        fit(drawn(), schema, device="gpu")


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_as_on_a_gpu_learns_the_same_but_for_rounding(schema, monkeypatch, half):
    """Both types of it: float16, which older GPUs have alone, needs gradients that are scaled."""
    full = fit(drawn(), schema, validation=0.3).predict(drawn(seed=1)).probabilities
    prepare, scales = loop.Training.__post_init__, []

    def mixed(self):
        prepare(self)
        self.half, self.mixed = half, True
        self.scaler = torch.amp.GradScaler("cpu", enabled=half == torch.float16)
        scales.append(self.scaler.get_scale)

    monkeypatch.setattr(loop.Training, "__post_init__", mixed)
    found = fit(drawn(), schema, validation=0.3).predict(drawn(seed=1)).probabilities
    assert 0 < np.abs(found - full).max() < 0.05
    assert (scales[0]() > 1) == (half == torch.float16)


@pytest.fixture
def idle_gpu(tmp_path, monkeypatch):
    """A machine with a GPU that PyTorch does not see, and no job of Azure ML."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(processes, "_DEVICES", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("AZUREML_RUN_ID", "CUDA_VISIBLE_DEVICES", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def too_old():
    raise RuntimeError("The NVIDIA driver on your system is too old\n(found version 12020).")


def chosen(device):
    with processes.processes(device) as group:
        return group.device.type


@pytest.mark.usefixtures("idle_gpu")
@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_gpu_that_pytorch_cannot_use_stops_the_training_with_the_reason(monkeypatch, device):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", too_old)
    reason = r"The NVIDIA driver on your system is too old \(found version 12020\)"
    with pytest.raises(StepError, match=rf"has an NVIDIA GPU, and PyTorch \S+ cannot use it \({reason}\): take .* cpu"):
        chosen(device)
    assert chosen("cpu") == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device == "gpu" or chosen(device) == "cpu"


@pytest.mark.usefixtures("idle_gpu")
def test_the_build_for_cpus_leaves_the_gpu_of_a_laptop_idle_with_a_line_and_that_of_a_job_not(monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert chosen("auto") == "cpu"
    assert "the GPU of this machine stays idle: PyTorch" in capsys.readouterr().out
    monkeypatch.setenv("AZUREML_RUN_ID", "a-run")
    with pytest.raises(StepError, match="this machine has an NVIDIA GPU, and PyTorch"):
        chosen("auto")


@pytest.mark.usefixtures("idle_gpu")
def test_a_machine_without_a_gpu_trains_on_its_processor_without_a_word(tmp_path, monkeypatch, capsys):
    (tmp_path / "nvidia0").unlink()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("AZUREML_RUN_ID", "a-run")
    assert chosen("auto") == "cpu"
    assert capsys.readouterr().out == ""


def test_one_class_is_refused_in_one_line(tmp_path):
    columns = SCHEMA["columns"] | {"place": {"type": "category"}}
    examples = drawn(20)
    same = replace(examples, frame=examples.frame.assign(place="left"))
    with pytest.raises(StepError, match="place has one class, left: add examples of other classes"):
        fit(same, write_schema(SCHEMA | {"columns": columns}, tmp_path))


def test_a_loss_that_is_not_finite_stops_the_training_in_one_line(schema):
    with pytest.raises(StepError, match=r"the loss of epoch 1 is NaN or infinite: choose a smaller .*learning_rate"):
        fit(drawn(), schema, learning_rate=10, weight_decay=10, epochs=40, warmup=0)


def test_a_damaged_image_is_named_by_its_place(schema):
    examples = drawn(30)
    files = [*examples.frame["image"][:29], b"no image"]
    with pytest.raises(StepError, match="image 30 of the training data: it is not a picture"):
        fit(replace(examples, frame=examples.frame.assign(image=files)), schema, validation=0)


def test_the_threshold_decides_between_two_classes(tmp_path):
    columns = SCHEMA["columns"] | {"place": {"type": "category", "values": ["left", "middle"]}}
    schema = write_schema(SCHEMA | {"columns": columns}, tmp_path)
    examples = drawn(40, ["left", "middle"])
    assert set(fit(examples, schema, epochs=1, threshold=0.999).predict(examples).values) == {"left"}
    assert set(fit(examples, schema, epochs=1, threshold=0.001).predict(examples).values) == {"middle"}


def test_a_threshold_of_more_than_two_classes_is_refused(schema):
    with pytest.raises(StepError, match=r"training\.threshold: is for two classes"):
        fit(drawn(), schema, threshold=0.3)


# --- augmentation


def changed(image, draws=None, **settings):
    values = torch.tensor(image, dtype=torch.float32).expand(64, 1, *np.shape(image))
    draws = torch.rand(64, augmentation.DRAWS, generator=torch.Generator().manual_seed(0)) if draws is None else draws
    return augmentation.augment(values, draws, hyperparameters.Augmentation(**settings))


def test_without_augmentation_images_stay_as_they_are():
    image = np.arange(25.0).reshape(5, 5)
    assert torch.equal(changed(image)[0, 0], torch.tensor(image, dtype=torch.float32))


def test_no_image_is_mirrored_unless_that_is_asked_for():
    image = np.zeros((16, 16))
    image[:, :4] = 255  # the left edge stays left of the middle, whatever else happens
    moved = changed(image, rotation=15, shift=0.1, scale=0.1)
    assert (moved[:, 0, :, :8].mean(dim=(1, 2)) > moved[:, 0, :, 8:].mean(dim=(1, 2))).all()
    mirrored = changed(image, flip_left_right=True)
    right = mirrored[:, 0, :, 8:].mean(dim=(1, 2)) > mirrored[:, 0, :, :8].mean(dim=(1, 2))
    assert 0.3 < right.float().mean() < 0.7


def test_each_augmentation_changes_an_image_by_no_more_than_it_says():
    image = np.zeros((21, 21))
    image[10, 10] = 255
    extreme = torch.zeros(64, augmentation.DRAWS)
    shifted = changed(image, extreme, shift=2 / 21)[0, 0]
    assert shifted.argmax() == 12 * 21 + 12  # two pixels to the right and down
    bright = changed(np.full((4, 4), 100.0), extreme, brightness=0.1)
    assert bright[0, 0, 0, 0] == pytest.approx(100 - 25.5)
    low = changed(np.array([[0.0, 200.0]]), extreme, contrast=0.5)
    assert low[0, 0].flatten().tolist() == pytest.approx([50, 150])


# --- validation, early stopping and weights


def test_validation_examples_stay_where_they_are_and_groups_stay_together(tmp_path):
    grouped = SCHEMA | {"split": {"group": "camera"}}
    schema = write_schema(grouped, tmp_path)
    examples = drawn(300)
    frame = examples.frame.assign(camera=[f"camera {number // 10}" for number in range(300)])
    labels = np.zeros(300, dtype=np.int64)
    chosen = loop.validation_part(frame, schema, labels, 0.2)
    assert 0.05 < chosen.mean() < 0.4
    assert (pd.Series(chosen).groupby(frame["camera"]).nunique() == 1).all()
    fewer = loop.validation_part(frame[100:], schema, labels[100:], 0.2)
    assert (fewer == chosen[100:]).all()


def test_a_class_is_never_in_the_validation_part_alone(schema):
    frame = drawn(300).frame
    rare = np.arange(300)
    chosen = loop.validation_part(frame, schema, np.minimum(rare, 5), 0.5)
    assert not chosen[:5].any()
    assert chosen[5:].mean() == pytest.approx(0.5, abs=0.1)
    assert not loop.validation_part(frame[:12], schema, np.zeros(12, dtype=np.int64), 0.5).any()


def test_training_stops_when_the_validation_loss_rises_and_takes_the_best_epoch(schema, monkeypatch, capsys):
    losses = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    states = []

    def validate(self):
        states.append(torch.cat([value.flatten() for value in self.network.state_dict().values()]))
        return {"validation_loss": next(losses), "validation_accuracy": 0.5}

    monkeypatch.setattr(loop.Training, "_validate", validate)
    trained = fit(drawn(), schema, epochs=9, patience=2)
    assert len(states) == 4
    assert torch.equal(weights(trained), states[1])
    assert "the best epoch was 2, its validation loss 1.0000" in capsys.readouterr().out


def test_each_epoch_is_a_line_and_a_point_in_mlflow(schema, monkeypatch, capsys):
    logged = []
    monkeypatch.setattr(mlflow, "active_run", lambda: object())
    monkeypatch.setattr(mlflow, "log_metrics", lambda values, step: logged.append((step, sorted(values))))
    fit(drawn(), schema, epochs=2, validation=0.3)
    names = ["images_per_second", "learning_rate", "loss", "validation_accuracy", "validation_loss"]
    assert logged == [(1, names), (2, names)]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert lines[1].startswith("epoch 2 of 2: loss ")
    assert lines[1].endswith(" images/s")


def test_only_the_first_process_logs_and_prints(schema, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(mlflow, "active_run", lambda: pytest.fail("this process must not log"))
    fit(drawn(), schema, epochs=1)
    assert capsys.readouterr().out == ""


def test_balanced_weights_find_more_of_a_rare_class(tmp_path):
    columns = SCHEMA["columns"] | {"place": {"type": "category", "values": ["left", "middle"]}}
    schema = write_schema(SCHEMA | {"columns": columns}, tmp_path)
    rare = replace(examples := drawn(200, ["left", "middle"]), frame=examples.frame.drop(range(1, 180, 2)))
    given = [fit(rare, schema, epochs=2, class_weights=kind).predict(examples) for kind in ("none", "balanced")]
    plain, balanced = (each.probabilities[:, 1].mean() for each in given)
    assert balanced > plain + 0.1


def test_the_learning_rate_rises_in_a_straight_line_and_falls_as_a_cosine(schema, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def noted(self, closure=None):
        rates.append(self.param_groups[0]["lr"])
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    fit(drawn(100), schema, epochs=4, batch_size=20, learning_rate=0.01, warmup=0.5, validation=0)
    assert len(rates) == 20
    assert rates[:10] == pytest.approx(np.linspace(0.001, 0.01, 10))
    assert rates[9:] == pytest.approx(0.005 * (1 + np.cos(np.pi * np.arange(11) / 11)))


# --- the file of decoded images


def test_images_are_decoded_once_where_there_is_room_and_each_time_where_there_is_none(monkeypatch):
    calls = []
    monkeypatch.setattr(pictures, "decode", lambda content: calls.append(content) or picture(0, int(content)))
    files = [b"1", b"2", b"3"]
    for cache, expected in ((1, 3), (0, 6)):
        calls.clear()
        kept, parts = pictures.Pictures(files, 12, 1, cache, workers=1), [np.array([2, 0]), np.array([1])]
        first, again = (np.concatenate([each for (each,) in kept.batches(parts)]) for _ in range(2))
        assert len(calls) == expected
        assert (first == again).all()
        assert (first[1, 0] == np.asarray(picture(0, 1))).all()


def test_a_full_disk_means_decoding_in_each_epoch(monkeypatch, capsys):
    class Full:
        def seek(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    monkeypatch.setattr(pictures.tempfile, "TemporaryFile", lambda **_: Full())
    kept = pictures.Pictures([encoded(picture(0, 0))] * 3, 12, 1, 1)
    for _ in range(2):
        [(images,)] = kept.batches([np.arange(3)])
        assert images.shape == (3, 1, 12, 12)
    assert "decoded images are not kept any longer" in capsys.readouterr().out


# --- checkpoints


class Killed(BaseException):
    """What ends a process at once."""


def killed_after(monkeypatch, epochs):
    """End the training after the checkpoint of an epoch."""
    original = checkpoints.Checkpoints.save

    def save(self, state):
        original(self, state)
        if state["epoch"] == epochs:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)


@pytest.fixture
def interrupted(schema, tmp_path, monkeypatch):
    """A folder with the checkpoint of a training that was killed."""
    with monkeypatch.context() as patch:
        killed_after(patch, 1)
        with pytest.raises(Killed):
            fit(drawn(), schema, tmp_path / "state")
    return tmp_path / "state"


AUGMENTED = {"augment": {"rotation": 10, "contrast": 0.2}}


def test_a_training_that_was_killed_and_resumed_equals_an_undisturbed_one(schema, tmp_path, monkeypatch, capsys):
    undisturbed = fit(drawn(), schema, **AUGMENTED)
    with monkeypatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            fit(drawn(), schema, tmp_path / "state", **AUGMENTED)
    capsys.readouterr()
    resumed = fit(drawn(), schema, tmp_path / "state", **AUGMENTED)
    assert torch.equal(weights(resumed), weights(undisturbed))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"going on after epoch 2 of {tmp_path / 'state' / 'checkpoint.pt'}"
    assert [line[:12] for line in lines if line.startswith("epoch")] == ["epoch 3 of 3"]


def test_a_finished_training_is_not_trained_again(schema, tmp_path, capsys):
    first = fit(drawn(), schema, tmp_path)
    capsys.readouterr()
    again = fit(drawn(), schema, tmp_path)
    assert torch.equal(weights(first), weights(again))
    out = capsys.readouterr().out
    assert "which was the last: nothing is left to train" in out
    assert "epoch 1 of" not in out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 14}, r"seed was 13, and is 14"),
        ({"learning_rate": 0.02}, r"learning_rate was 0\.01, and is 0\.02"),
        ({"size": 14}, r"size was 12, and is 14"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_in_one_line(schema, interrupted, changes, reason):
    with pytest.raises(StepError, match=rf"checkpoint\.pt: it belongs to another training \({reason}\); delete it"):
        fit(drawn(), schema, interrupted, **changes)


def test_a_training_does_not_go_on_under_other_code(schema, interrupted, monkeypatch):
    monkeypatch.setattr(training, "code_digest", lambda folder: "other")
    with pytest.raises(StepError, match=r"it belongs to another training \(code was [0-9a-f]{16}, and is other\)"):
        fit(drawn(), schema, interrupted)


def with_another_label(examples):
    return replace(examples, frame=examples.frame.assign(place=[*examples.frame["place"][:-1], CLASSES[0]]))


@pytest.mark.parametrize("others", [drawn(99), drawn(seed=1), with_another_label(drawn())])
def test_the_checkpoint_of_other_examples_is_refused(schema, interrupted, others):
    """Also of as many, and of the same pictures with another label."""
    with pytest.raises(StepError, match=r"it belongs to another training \(examples was"):
        fit(others, schema, interrupted)


def test_the_checkpoint_of_other_pictures_with_the_same_names_is_refused(schema, tmp_path, monkeypatch):
    def named(seed):
        examples = drawn(seed=seed)
        names = [f"{number}.png" for number in range(len(examples.frame))]
        for name, content in zip(names, examples.frame["image"], strict=True):
            (tmp_path / name).write_bytes(content)
        return Examples(examples.frame.assign(image=names), tmp_path)

    with monkeypatch.context() as patch:
        killed_after(patch, 1)
        with pytest.raises(Killed):
            fit(named(0), schema, tmp_path / "state")
    with pytest.raises(StepError, match=r"it belongs to another training \(examples was"):
        fit(named(1), schema, tmp_path / "state")


@pytest.mark.parametrize(("examples", "changes"), [(drawn(99), {}), (drawn(), {"learning_rate": 0.02})])
def test_a_training_that_has_finished_does_not_stop_the_next_one_there(schema, tmp_path, capsys, examples, changes):
    fit(drawn(), schema, tmp_path / "state", epochs=1)
    alone = fit(examples, schema, epochs=1, **changes)
    capsys.readouterr()
    assert torch.equal(weights(fit(examples, schema, tmp_path / "state", epochs=1, **changes)), weights(alone))
    line, *_ = capsys.readouterr().out.splitlines()
    assert re.search(r"checkpoint\.pt: it is of another training \(\w+ was .*\), which has finished; starting", line)
    capsys.readouterr()
    fit(examples, schema, tmp_path / "state", epochs=1, **changes)
    assert "nothing is left to train" in capsys.readouterr().out


def test_settings_that_only_change_the_speed_do_not_matter_to_a_checkpoint(schema, tmp_path):
    fit(drawn(), schema, tmp_path, epochs=1)
    fit(drawn(), schema, tmp_path, epochs=1, workers=1, cache=0, device="cpu", checkpoint_every=7)


def test_a_damaged_checkpoint_is_one_line(schema, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK nothing")
    with pytest.raises(StepError, match=r"checkpoint\.pt: it is no valid checkpoint, delete it to start afresh"):
        fit(drawn(), schema, tmp_path)


def test_a_full_disk_stops_in_one_line_and_the_last_checkpoint_stays_valid(schema, tmp_path, monkeypatch):
    undisturbed = fit(drawn(), schema)
    written = []

    def full(_):
        written.append(1)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            StepError, match=r"cannot be written \(No space left on device\), the last one there is val"
        ):
            fit(drawn(), schema, tmp_path / "state")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["checkpoint.pt"]
    assert torch.equal(weights(fit(drawn(), schema, tmp_path / "state")), weights(undisturbed))


# --- several processes


class Group:
    """What is called of `torch.distributed` by a process that has no others; it has what the first one sent."""

    def __init__(self, received=None):
        self.calls, self.received = [], received

    def init_process_group(self, backend, timeout):
        self.calls.append(f"{backend} for at most {timeout}")

    def destroy_process_group(self):
        self.calls.append("left")

    def broadcast_object_list(self, items, device=None):
        if self.received is not None:
            items[:] = self.received


def test_a_process_leaves_the_others_after_an_error_and_waits_for_them_five_minutes_at_most(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "distributed", group := Group())
    with pytest.raises(KeyError), processes.processes("cpu"):
        raise KeyError
    assert group.calls == ["gloo for at most 0:05:00", "left"]


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_the_first_process_is_one_of_all(monkeypatch, rank):
    def fail():
        raise StepError("the checkpoint is damaged")

    monkeypatch.setattr(processes, "distributed", Group(None if rank == 0 else [None, "the checkpoint is damaged"]))
    with pytest.raises(StepError, match="the checkpoint is damaged"):
        processes.Processes(rank, 2, torch.device("cpu")).from_main(fail)


def test_more_processes_than_gpus_are_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with (
        pytest.raises(StepError, match="process 2 of this machine has no GPU, there are 1"),
        processes.processes("auto"),
    ):
        pass
