"""Networks by their names, and the model that is saved of one."""

import json
import socket
import sys
from types import ModuleType, SimpleNamespace

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from helpers import SOURCE, module, write_schema
from samples import SCHEMA, encoded, picture
from test_training import drawn, fit
from torch import nn

networks, saving, image_model = module("vision.networks"), module("vision.saving"), module("image_model")
StepError = module("core.step").StepError
LOOK = networks.Look(12, 1, (0.4,), (0.2,))


def build(name, **options):
    return networks.build(name, 3, lambda size: LOOK, **options)


# --- networks by their names


class Tiny(nn.Module):
    """A body and a last layer, as the models of libraries have it; it takes images of 32 pixels alone."""

    def __init__(self, pretrained):
        super().__init__()
        self.norm, self.classifier = nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(0.1), nn.Linear(3 * 32 * 32, 1000))
        if pretrained:
            nn.init.constant_(self.norm.weight, 5)

    def forward(self, images):
        if images.shape[-1] != 32:
            raise AssertionError("normally\nthe side is 32")
        return self.classifier(self.norm(images).flatten(1))


class TwoHeads(Tiny):
    """A network as inception_v3 is: while it trains, it gives the logits of a second head too."""

    def __init__(self, pretrained):
        super().__init__(pretrained)
        self.aux_logits, self.AuxLogits = True, nn.Linear(3 * 32 * 32, 1000)

    def forward(self, images):
        logits = super().forward(images)
        if self.training and self.aux_logits:
            return logits, self.AuxLogits(images.flatten(1))
        return logits


class NoHubError(Exception):
    """What a library raises where it reaches nothing."""


@pytest.fixture
def torchvision(monkeypatch):
    """A library of which one model cannot be downloaded, and one does not classify."""
    images = SimpleNamespace(crop_size=[32], mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1])
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: images))

    def get_model(name, weights):
        if name == "remote" and weights:
            raise NoHubError("the models are at https://models.example\n") from socket.gaierror(-2, "unknown")
        return (TwoHeads if name == "two_heads" else Tiny)(weights is not None)

    def list_models(module=None):
        classifiers = ["tiny", "two_heads", "remote", "resnet18"]
        return classifiers if module is library.models else [*classifiers, "fcn_resnet50"]

    library = ModuleType("torchvision")
    library.models = SimpleNamespace(list_models=list_models, get_model_weights=lambda _: weights, get_model=get_model)
    monkeypatch.setitem(sys.modules, "torchvision", library)


@pytest.mark.usefixtures("torchvision")
def test_a_pretrained_network_keeps_its_weights_and_normalisation_and_gets_a_new_head():
    network = build("torchvision:tiny")
    assert network.body.norm.weight[0] == 5
    assert isinstance(network.body.classifier[1], nn.Identity)
    assert (network.size, network.channels, network.head.out_features) == (32, 3, 3)
    assert network.mean.flatten().tolist() == pytest.approx([127.5, 102, 76.5])
    grey = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    assert network(grey).shape == (2, 3)
    assert build("torchvision:tiny", pretrained=False).body.norm.weight[0] == 1


@pytest.mark.usefixtures("torchvision")
def test_a_network_with_a_second_head_for_its_training_trains_without_it():
    network = build("torchvision:two_heads").train()
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 3)
    assert [name for name, _ in network.named_parameters() if "Aux" in name] == []


@pytest.mark.usefixtures("torchvision")
def test_of_a_frozen_network_only_the_head_learns():
    network = build("torchvision:tiny", freeze=True).train()
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert learning == ["head.weight", "head.bias"]
    before = network.body.norm.running_mean.clone()
    network(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    assert torch.equal(network.body.norm.running_mean, before)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("resnet18", {}, "backbone: 'resnet18' is unknown; choose one of small_cnn, torchvision:NAME"),
        ("torchvision:", {}, "backbone: 'torchvision:' is unknown"),
        ("torchvision:resnet81", {}, "backbone: torchvision has no model 'resnet81'; similar are resnet18"),
        ("torchvision:fcn_resnet50", {}, "backbone: torchvision has no model 'fcn_resnet50'; similar are resnet18"),
        (
            "torchvision:remote",
            {},
            r"the weights of torchvision:remote cannot be fetched \(their server cannot be reached\): allow access",
        ),
        ("torchvision:tiny", {"size": 33}, r"size: torchvision:tiny takes no images of 33 pixels \(normal"),
    ],
)
def test_a_network_that_cannot_be_had_is_one_line(name, options, line):
    with pytest.raises(StepError, match=line) as error:
        build(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("torchvision")
def test_without_access_to_the_network_there_is_a_start_without_weights():
    assert build("torchvision:remote", pretrained=False).size == 32


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_that_is_not_installed_is_one_line_with_the_remedy(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(networks, "import_module", lambda name: __import__(name))
    with pytest.raises(StepError, match=f"{library} is not installed: run `uv add torchvision.*`"):
        build(f"{library}:any")


def test_a_library_of_another_build_is_one_line(monkeypatch):
    def broken(_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(networks, "import_module", broken)
    with pytest.raises(StepError, match=r"torchvision cannot be imported \(operator torchvision::nms does not exist\)"):
        build("torchvision:resnet18")


def test_the_models_of_timm_come_without_their_head_and_with_their_normalisation(monkeypatch):
    given = {"input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def create_model(name, pretrained, num_classes):
        body = nn.Flatten()
        body.pretrained_cfg = given
        assert (name, pretrained, num_classes) == ("tiny.in1k", True, 0)
        return body

    library = ModuleType("timm")
    library.list_models, library.create_model = lambda: ["tiny"], create_model
    monkeypatch.setitem(sys.modules, "timm", library)
    network = build("timm:tiny.in1k")
    assert (network.size, network.head.in_features) == (16, 768)
    assert network.deviation.flatten().tolist() == [127.5] * 3


def test_weights_of_timm_that_cannot_be_fetched_are_one_line(monkeypatch):
    def create_model(name, pretrained, num_classes):
        raise NoHubError("the models are at https://models.example\n") from socket.gaierror(-2, "unknown")

    library = ModuleType("timm")
    library.list_models, library.create_model = lambda: ["tiny"], create_model
    monkeypatch.setitem(sys.modules, "timm", library)
    line = r"the weights of timm:tiny cannot be fetched \(their server cannot be reached\): .* pretrained: false$"
    with pytest.raises(StepError, match=line):
        build("timm:tiny")


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 3), (96, 3), (224, 3)])
def test_the_small_network_adapts_to_size_and_channels(size, channels):
    network = networks.build(
        "small_cnn", 20, lambda _: networks.Look(size, channels, (0.5,) * channels, (0.2,) * channels)
    )
    with torch.no_grad():
        assert network(torch.zeros(1, channels, size, size, dtype=torch.uint8)).shape == (1, 20)
    assert sum(weight.numel() for weight in network.parameters()) < 1_500_000


# --- the model that is saved


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained network, its examples and the folder of its MLflow model."""
    root = tmp_path_factory.mktemp("saved")
    examples = drawn(60)
    trained = fit(examples, write_schema(SCHEMA, root))
    trained.save(examples, root / "model")
    return trained, examples, root / "model"


def test_the_saved_model_gives_the_probabilities_of_the_network(saved):
    trained, _, folder = saved
    fresh = drawn(70, seed=1)
    answer = mlflow.pyfunc.load_model(str(folder)).predict(fresh.frame[["image"]])
    expected = trained.predict(fresh)
    assert list(answer) == ["prediction", *expected.classes]
    assert answer.iloc[:, 1:].to_numpy() == pytest.approx(expected.probabilities, abs=1e-5)
    assert (answer["prediction"] == expected.values).all()


def test_the_graph_takes_any_number_of_images_and_none(saved):
    _, examples, folder = saved
    model = mlflow.pyfunc.load_model(str(folder))
    tables = [model.predict(examples.frame[["image"]].head(count)) for count in (0, 1, 60)]
    assert [len(table) for table in tables] == [0, 1, 60]
    assert tables[1].iloc[0, 1:].tolist() == pytest.approx(tables[2].iloc[0, 1:].tolist(), abs=1e-6)


def test_the_embedding_has_up_to_eight_components_which_are_those_of_the_features(saved):
    trained, examples, folder = saved
    given = mlflow.pyfunc.load_model(str(folder)).predict(examples.frame[["image"]], params={"embedding": True})
    assert list(given) == [f"component_{place}" for place in range(1, 9)]
    images = np.stack([image_model.pixels(image_model.decode(file), 12, 1) for file in examples.frame["image"]])
    with torch.inference_mode():
        features = trained.network.features(torch.from_numpy(images)).double().numpy()
    spread = np.sort(np.linalg.eigvalsh(np.cov(features, rowvar=False)))[::-1][:8]
    assert given.var(ddof=1).to_numpy() == pytest.approx(spread, rel=1e-3)


def test_the_model_is_of_one_file_for_its_graph_and_one_for_its_labels(saved):
    _, _, folder = saved
    about = json.loads((folder / "artifacts" / "model.json").read_text(encoding="utf-8"))
    assert about == {
        "version": 1,
        "backbone": "small_cnn",
        "classes": ["left", "middle", "right"],
        "integers": False,
        "size": 12,
        "channels": 1,
    }
    assert sorted(path.name for path in (folder / "artifacts").iterdir()) == ["model.json", "model.onnx"]
    assert onnx.load(folder / "artifacts" / "model.onnx").opset_import[0].version == 18


def test_an_image_that_cannot_be_decoded_is_named_by_its_row(saved):
    table = pd.DataFrame({"image": [encoded(picture(0, 0)), b"no image"]})
    with pytest.raises(ValueError, match="row 1: it is not a picture"):
        mlflow.pyfunc.load_model(str(saved[2])).predict(table)


def test_probabilities_that_differ_from_those_of_the_network_are_not_saved(saved, tmp_path, monkeypatch):
    trained, examples, _ = saved
    export = saving.export

    def wrong(graph, channels, size, path):
        export(graph, channels, size, path)
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.name.endswith("head.bias"):
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32([0.0, 0.01, 0.0]), tensor.name))
        onnx.save(model, path)

    monkeypatch.setattr(saving, "export", wrong)
    with pytest.raises(StepError, match=r"gives probabilities that differ by .* so the model is not saved"):
        trained.save(examples, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_class_that_is_an_integer_is_predicted_as_one(tmp_path):
    columns = SCHEMA["columns"] | {"place": {"type": "integer"}}
    examples = drawn(30, [3, 10, 2])
    trained = fit(examples, write_schema(SCHEMA | {"columns": columns}, tmp_path), epochs=1)
    trained.save(examples, tmp_path / "model")
    answer = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(examples.frame[["image"]])
    assert answer["prediction"].dtype == np.int64
    assert set(answer["prediction"]) <= {2, 3, 10}
    assert set(answer) == {"prediction", "2", "3", "10"}


# --- images as a network takes them


def test_the_proportions_of_an_image_stay_and_its_border_fills_the_square():
    image = image_model.decode(encoded(picture(0, 0).resize((4, 12))))
    square = image_model.pixels(image, 24, 1)[0]
    left = np.unique(square[:, :8])
    assert len(left) == 1
    assert np.asarray(image).min() < left[0] < np.asarray(image).max()
    assert (square[:, 8:16] == np.asarray(image.resize((8, 24), 2))).all()


def test_colour_becomes_grey_and_grey_becomes_colour_by_the_channels_of_the_network():
    grey, colour = picture(0, 0), picture(0, 0, channels=3)
    assert image_model.pixels(colour, 12, 1).shape == (1, 12, 12)
    wide = image_model.pixels(grey, 12, 3)
    assert (wide == np.asarray(grey)).all()


def test_a_model_does_not_tell_where_it_was_made(saved):
    content = next(saved[2].rglob("model.onnx")).read_bytes()
    assert str(SOURCE).encode() not in content
    assert b"site-packages" not in content
