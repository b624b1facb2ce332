"""Transformers: the small one and those of the hub, their tokens, training, checkpoints, processes and graph."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import module, write_schema
from samples import CLASSES, SCHEMA, TINY, table, texts
from test_linear import accuracy, examples

fitting, transformer, text_model = module("text.fitting"), module("text.transformer"), module("text_model")
hyperparameters, checkpoints = module("text.hyperparameters"), module("neural.checkpoints")
StepError = module("core.step").StepError
FEW = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def schema(tmp_path):
    return write_schema(SCHEMA, tmp_path)


def fit(frame, schema, folder=None, seed=13, **options):
    settings = {"seed": seed, "hyperparameters": {**TINY, **FEW, **options}}
    return fitting.fit(examples(frame), schema, settings, folder)


def weights(trained):
    return torch.cat([value.flatten().float() for value in trained.network.state_dict().values()])


@pytest.mark.parametrize("script", ["latin", "chinese"])
def test_a_few_epochs_tell_unseen_texts_apart(schema, script):
    trained = fit(table(180, script=script, own=0.5), schema, epochs=6)
    assert accuracy(trained, table(60, seed=1, script=script, own=0.5)) > 0.9


def test_the_same_seed_gives_the_same_model_and_another_one_does_not(schema):
    first, again, other = (fit(table(60), schema, seed=seed, epochs=1) for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize("script", ["latin", "cyrillic", "arabic", "chinese"])
def test_the_tokenizer_knows_the_script_of_its_texts_and_is_the_same_each_time(script):
    known = texts(["a"] * 50, script=script)
    first, again = (transformer.train_tokenizer(known, 400) for _ in range(2))
    assert first.to_str() == again.to_str()
    encoded = first.encode(known[0].upper())
    assert "[UNK]" not in encoded.tokens
    assert (encoded.tokens[0], encoded.tokens[-1]) == ("[CLS]", "[SEP]")
    assert "[UNK]" in first.encode("\U0001f600").tokens


def test_texts_that_are_cut_are_counted_and_said(schema, capsys):
    frame = table(60)
    frame.loc[:5, "text"] = [text * 40 for text in frame["text"][:6]]
    trained = fit(frame, schema, epochs=1, max_tokens=200)
    trained.tokenizer.no_truncation()
    lengths = np.array([len(each) for each in trained.tokenizer.encode_batch(list(frame["text"]))])
    share = np.maximum(lengths - 200, 0).sum() / lengths.sum()
    assert 0.3 < share < 0.9
    note = (
        f"6 of 60 training texts (10.0%) are cut after 200 tokens, which leaves out {share:.1%} of all tokens; "
        "training.hyperparameters.max_tokens is the limit"
    )
    assert note in capsys.readouterr().out
    assert trained.notes() == [note]


def test_no_text_is_printed(schema, capsys):
    frame = table(60)
    fit(frame, schema, epochs=1)
    captured = capsys.readouterr()
    assert not any(word in captured.out + captured.err for text in frame["text"] for word in text.split(". ")[:1])


# --- checkpoints


class Killed(BaseException):
    """What ends a process at once."""


def test_a_training_that_was_killed_and_resumed_equals_an_undisturbed_one(schema, tmp_path, monkeypatch):
    undisturbed = fit(table(60), schema)
    original = checkpoints.Checkpoints.save

    def save(self, state):
        original(self, state)
        if state["epoch"] == 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", save)
        with pytest.raises(Killed):
            fit(table(60), schema, tmp_path / "state")
    assert torch.equal(weights(fit(table(60), schema, tmp_path / "state")), weights(undisturbed))


@pytest.mark.parametrize(("changes", "reason"), [({"width": 64}, "width was 32, and is 64"), ({}, "examples was")])
def test_the_unfinished_training_of_another_model_is_refused_in_one_line(
    schema, tmp_path, monkeypatch, changes, reason
):
    original = checkpoints.Checkpoints.save

    def save(self, state):
        original(self, {**state, "finished": False})

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    fit(table(60), schema, tmp_path, epochs=1)
    with pytest.raises(StepError, match=rf"checkpoint\.pt: it belongs to another training \({reason}"):
        fit(table(60 if changes else 63), schema, tmp_path, epochs=1, **changes)


# --- the model that is saved


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained transformer, its texts and the folder of its MLflow model."""
    root = tmp_path_factory.mktemp("saved")
    frame = table(60)
    trained = fit(frame, write_schema(SCHEMA, root), epochs=8)
    trained.save(examples(frame), root / "model")
    return trained, frame, root / "model"


def test_the_saved_model_gives_the_probabilities_of_the_network_whatever_the_length(saved):
    trained, _, folder = saved
    fresh = pd.DataFrame({"text": [*table(20, seed=1, words=12)["text"], *table(20, seed=2)["text"], "x", "?"]})
    answer = mlflow.pyfunc.load_model(str(folder)).predict(fresh)
    assert list(answer) == ["prediction", *CLASSES]
    given, expected = answer.iloc[:, 1:].to_numpy(), trained.predict(examples(fresh)).probabilities
    assert given == pytest.approx(expected, abs=1e-5)
    assert expected.std(axis=0).min() > 0.05


def test_the_files_of_a_transformer_are_its_graph_and_its_tokenizer(saved):
    files = saved[2] / "artifacts" / "model"
    assert sorted(path.name for path in files.iterdir()) == ["model.json", "model.onnx", "tokenizer.json", "words.json"]
    about = json.loads((files / "model.json").read_text(encoding="utf-8"))
    assert (about["model"], about["max_tokens"], about["padding"]) == ("small_transformer", 32, 0)


def test_a_saved_transformer_needs_neither_pytorch_nor_transformers(saved):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; import mlflow, pandas; "
        "model = mlflow.pyfunc.load_model(sys.argv[1]); print(len(model.predict(pandas.DataFrame({'text': ['a']}))))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved[2])], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr


def test_the_saved_model_says_how_much_of_the_training_texts_was_cut(saved):
    trained, _, folder = saved
    model = mlflow.pyfunc.load_model(str(folder))
    assert list(module("core.champion").model_notes(model)) == trained.notes()
    assert "60 of 60 training texts (100.0%) are cut after 32 tokens" in trained.notes()[0]


def test_the_embedding_has_the_variance_of_the_features(saved):
    trained, frame, folder = saved
    given = mlflow.pyfunc.load_model(str(folder)).predict(frame[["text"]], params={"embedding": True})
    assert list(given) == ["unknown", *(f"component_{place}" for place in range(1, 9))]
    tokens = transformer.Tokens(trained.tokenizer, list(frame["text"]), 0)
    [arrays] = tokens.batches([np.arange(len(frame))])
    with torch.inference_mode():
        features = trained.network.features(*map(torch.from_numpy, arrays)).double().numpy()
    spread = np.sort(np.linalg.eigvalsh(np.cov(features, rowvar=False)))[::-1][:8]
    assert given.iloc[:, 1:].var(ddof=1).to_numpy() == pytest.approx(spread, rel=1e-3)


def test_a_graph_that_computes_something_else_is_not_saved(saved, tmp_path, monkeypatch):
    trained, frame, _ = saved
    export = transformer.export

    def wrong(graph, path):
        with torch.no_grad():
            graph.network.head.bias += torch.tensor([0.0, 0.1, 0.0])
            export(graph, path)
            graph.network.head.bias -= torch.tensor([0.0, 0.1, 0.0])

    monkeypatch.setattr(transformer, "export", wrong)
    with pytest.raises(StepError, match=r"gives probabilities that differ by .* so it is not kept"):
        trained.save(examples(frame), tmp_path / "model")


# --- models of the hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub with one model at one commit, which the libraries read without the network."""
    import huggingface_hub.constants
    import transformers

    folder = tmp_path / "hub" / "models--tiny--bert" / "snapshots" / COMMIT
    tokenizer = transformer.train_tokenizer(table(60)["text"], 300)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=40, **size)
    body = transformers.BertModel(config)
    body.save_pretrained(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder, body


def hub_settings(**options):
    return {"model": "hub:tiny/bert", "revision": COMMIT, "max_tokens": 32, **FEW, **options}


def hub_fit(frame, schema, **options):
    settings = {"seed": 13, "hyperparameters": hub_settings(**options)}
    return fitting.fit(examples(frame), schema, settings)


def test_a_model_of_the_hub_starts_with_its_weights_and_tokens_and_is_saved_without_pytorch(hub, schema, tmp_path):
    _, body = hub
    settings = hyperparameters.load(hub_settings())
    _, padding, network = transformer.build(settings, [], 3)
    assert padding == 0
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(network.body.state_dict()[words], body.state_dict()[words])
    frame = table(60)
    trained = hub_fit(frame, schema)
    trained.save(examples(frame), tmp_path / "model")
    answer = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame[["text"]])
    assert answer.iloc[:, 1:].to_numpy() == pytest.approx(trained.predict(examples(frame)).probabilities, abs=1e-5)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"model": "hub:tiny/other"},
            f"model: hub:tiny/other at revision {COMMIT} is not in the cache, and the hub cannot be reached: allow "
            r"access to the hub, or put the model into its cache \(HF_HOME\) and set HF_HUB_OFFLINE=1$",
        ),
        ({"revision": "f" * 40}, "model: hub:tiny/bert at revision f{40} is not in the cache, and the hub cannot be"),
        (
            {"max_tokens": 64},
            r"max_tokens: hub:tiny/bert, which has 40 positions, cannot take 64 tokens .* choose fewer",
        ),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(schema, options, line):
    with pytest.raises(StepError, match=line) as error:
        hub_fit(table(60), schema, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors"])
def test_a_model_without_its_tokenizer_or_weights_is_one_line(hub, schema, missing):
    folder, _ = hub
    (folder / missing).unlink()
    with pytest.raises(StepError, match=r"hub:tiny/bert cannot be loaded .* it must have a tokenizer, weights in safe"):
        hub_fit(table(60), schema)


def test_the_code_of_a_model_is_never_run(hub, schema, tmp_path):
    folder, _ = hub
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(StepError, match=r"hub:tiny/bert cannot be loaded .* no code of its own"):
        hub_fit(table(60), schema)
    assert not (tmp_path / "ran").exists()


def test_the_hub_library_sends_no_telemetry():
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    sources = [path.read_text(encoding="utf-8") for path in Path(transformer.__file__).parent.glob("*.py")]
    assert sum(source.count("trust_remote_code") for source in sources) == 1
