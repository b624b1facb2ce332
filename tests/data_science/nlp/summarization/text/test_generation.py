"""Networks that write summaries: the small one and those of the hub, their training, checkpoints and saved models."""

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from helpers import module
from samples import TINY, fit, load_schema, rouge, table

generation, task, hyperparameters = module("text.generation"), module("text.task"), module("text.hyperparameters")
checkpoints, model_output = module("neural.checkpoints"), module("model_output")
Examples, StepError = module("core.modality").Examples, module("core.step").StepError
FEW = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "validation": 0}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def schema(tmp_path):
    return load_schema(tmp_path)


def weights(trained):
    return torch.cat([value.flatten().float() for value in trained.generator.network.state_dict().values()])


def test_it_learns_to_write_what_depends_on_the_text(schema):
    frame = table(48).assign(gist=["alpha beta gamma", "delta epsilon zeta"] * 24)
    frame["text"] = [f"{['even ', 'odd '][row % 2] * 5} number {row}" for row in range(48)]
    trained = fit(frame, schema, **TINY, **{**FEW, "epochs": 20, "dropout": 0.0})
    assert rouge(trained, frame) > 0.9


def test_the_same_seed_gives_the_same_model_and_another_one_does_not(schema):
    first, again, other = (fit(table(30), schema, seed=seed, **TINY, **FEW) for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


class Killed(BaseException):
    """What ends a process at once."""


def test_a_training_that_was_killed_and_resumed_equals_an_undisturbed_one(schema, tmp_path, monkeypatch):
    undisturbed = fit(table(30), schema, **TINY, **FEW)
    original = checkpoints.Checkpoints.save

    def save(self, state):
        original(self, state)
        if state["epoch"] == 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", save)
        with pytest.raises(Killed):
            fit(table(30), schema, tmp_path / "state", **TINY, **FEW)
    resumed = fit(table(30), schema, tmp_path / "state", **TINY, **FEW)
    assert torch.equal(weights(resumed), weights(undisturbed))


def test_another_summary_is_another_training(schema, tmp_path, monkeypatch):
    original = checkpoints.Checkpoints.save
    monkeypatch.setattr(
        checkpoints.Checkpoints, "save", lambda self, state: original(self, {**state, "finished": False})
    )
    fit(table(30), schema, tmp_path, **TINY, **FEW)
    with pytest.raises(StepError, match=r"checkpoint\.pt: it belongs to another training \(examples was"):
        fit(table(30).assign(gist="other words"), schema, tmp_path, **TINY, **FEW)


def test_validation_tells_when_to_stop_and_no_accuracy_is_said(schema, capsys):
    fit(table(120), schema, **TINY, **{**FEW, "epochs": 1, "validation": 0.3})
    printed = capsys.readouterr().out
    assert "epoch 1 of 1: loss " in printed
    assert "validation loss " in printed
    assert "accuracy" not in printed


def test_texts_that_are_cut_are_counted_and_no_text_is_printed(schema, capsys):
    frame = table(30)
    trained = fit(frame, schema, **TINY, **{**FEW, "epochs": 1})
    [note] = trained.notes()
    assert note.startswith("30 of 30 training texts (100.0%) are cut after 48 tokens, which leaves out ")
    printed = capsys.readouterr().out
    assert note in printed
    assert not any(text[:20] in printed for text in [*frame["text"], *frame["gist"]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    frame = table(40)
    trained = fit(frame, load_schema(root), **TINY, **FEW)
    trained.save(Examples(frame, Path()), root / "model")
    return trained, frame, root / "model"


def test_the_saved_model_writes_the_same_summaries_in_any_batch(saved):
    trained, frame, folder = saved
    model = mlflow.pyfunc.load_model(str(folder))
    together = model.predict(frame[["text"]])["prediction"].tolist()
    assert together == trained.summaries(list(frame["text"]))
    assert [model.predict(frame[["text"]].iloc[[row]])["prediction"][0] for row in (0, 7)] == [together[0], together[7]]
    assert all("\n" not in each for each in together)


def test_the_embedding_has_the_variance_of_what_the_encoder_makes(saved):
    trained, frame, folder = saved
    table = model_output.embedding(mlflow.pyfunc.load_model(str(folder)), frame[["text"]])
    assert list(table) == ["unknown", *(f"embedding {number}" for number in range(1, 9))]
    features = trained.generator.encoded(list(frame["text"])).astype(float)
    spread = np.sort(np.linalg.eigvalsh(np.cov(features, rowvar=False)))[::-1][:8]
    assert table.iloc[:, 1:].var(ddof=1).to_numpy() == pytest.approx(spread, rel=1e-2)


def test_without_texts_there_is_an_empty_answer(saved):
    model = mlflow.pyfunc.load_model(str(saved[2]))
    none = pd.DataFrame({"text": pd.Series([], dtype=object)})
    assert model.predict(none)["prediction"].tolist() == []
    assert model_output.embedding(model, none).shape == (0, 9)


def test_the_files_are_weights_without_pickle_and_what_is_needed_is_named(saved):
    files = {path.relative_to(saved[2] / "artifacts" / "model").as_posix() for path in saved[2].rglob("model/**/*")}
    assert {"network/model.safetensors", "tokenizer.json", "generator.json", "words.json"} <= files
    assert not any(name.endswith((".pkl", ".bin", ".pt")) for name in files)
    needed = (saved[2] / "requirements.txt").read_text(encoding="utf-8")
    assert all(name in needed for name in ("torch", "transformers", "tokenizers"))


# --- models of the hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub with one model at one commit, which the libraries read without the network."""
    import huggingface_hub.constants

    folder = tmp_path / "hub" / "models--tiny--t5" / "snapshots" / COMMIT
    tokenizer = generation.train_tokenizer(table(60)["text"], 300)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    numbers = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
    size = {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = transformers.T5Config(vocab_size=tokenizer.get_vocab_size(), **size, **numbers)
    network = transformers.T5ForConditionalGeneration(config)
    network.save_pretrained(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder, network


HUB = {"model": "hub:tiny/t5", "revision": COMMIT, "max_tokens": 32, "max_new_tokens": 8, "prefix": "sum: ", "beams": 2}


def test_a_model_of_the_hub_starts_with_its_weights_and_is_saved(hub, schema, tmp_path):
    generator = generation.build(hyperparameters.load(HUB), [])
    assert torch.equal(generator.network.shared.weight, hub[1].shared.weight)
    assert generator.prefix == "sum: "
    frame = table(30)
    trained = fit(frame, schema, **HUB, **FEW)
    assert not torch.equal(trained.generator.network.shared.weight, hub[1].shared.weight)
    trained.save(Examples(frame, Path()), tmp_path / "model")
    answer = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame[["text"]])
    assert answer["prediction"].tolist() == trained.summaries(list(frame["text"]))


@pytest.mark.usefixtures("hub")
def test_the_baseline_pretrained_is_what_the_model_writes_before_it_learns(schema):
    examples = Examples(table(5), Path())
    written = task.baseline("pretrained", examples, examples, schema, {"hyperparameters": HUB})
    untrained = generation.build(hyperparameters.load(HUB), [])
    assert written.tolist() == untrained.summaries(list(examples.frame["text"]))


def test_the_baseline_pretrained_needs_a_model_of_the_hub(schema):
    nothing = Examples(table(0), Path())
    for model in ("extractive", "small_seq2seq"):
        with pytest.raises(StepError, match=f"'pretrained' is of a model of the hub, and the model is {model}; leave"):
            task.baseline("pretrained", nothing, nothing, schema, {"hyperparameters": {"model": model}})
    assert len(task.baseline("pretrained", nothing, nothing, schema, {"hyperparameters": HUB})) == 0
    with pytest.raises(StepError, match="'first' is unknown; choose from lead, pretrained"):
        task.baseline("first", nothing, nothing, schema, {})


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("options", [{"model": "hub:tiny/other"}, {"revision": "f" * 40}])
def test_a_model_that_cannot_be_had_is_one_line(schema, options):
    with pytest.raises(StepError, match="is not in the cache, and the hub cannot be reached: allow access") as error:
        fit(table(30), schema, **{**HUB, **FEW, **options})
    assert "\n" not in str(error.value)


def test_a_network_that_has_fewer_places_than_tokens_is_one_line(schema):
    settings = hyperparameters.load(TINY)
    generator = generation.build(settings, list(table(30)["text"]))
    with pytest.raises(StepError, match="max_tokens: small_seq2seq, which has 48 positions, cannot take 96 tokens"):
        generation._try(generator, hyperparameters.load({**TINY, "max_tokens": 96}))


def test_a_selection_is_loaded_without_pytorch(schema, tmp_path):
    frame = table(60)
    fit(frame, schema).save(Examples(frame, Path()), tmp_path / "model")
    code = (
        "import mlflow, pandas, sys; model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "model.predict(pandas.DataFrame({'text': ['a']})); print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
