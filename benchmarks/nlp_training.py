"""How fast does a generated project train a model of texts, beside the bare library?

    uv run --project <project folder> python benchmarks/nlp_training.py <project folder> [--rounds N]

Two rows, one for each kind of model of the classification. In both the project trains by `text.fitting`, as its step
`train` does:

- TF-IDF with logistic regression, beside a plain pipeline of scikit-learn with the same vectorizer and classifier.
- The small transformer, beside `transformers.Trainer` with the same configuration of BERT, tokenizer, number of
  threads, size of a batch, epochs, AdamW, learning rate that rises and falls as a cosine, and batches of texts of
  similar length. Both times hold the training of the tokenizer and the tokenization. Neither has a validation part.
  The Trainer's network has a pooling layer, and takes the first token where the project's takes the mean. The Trainer
  needs the package accelerate, which projects do not; `make benchmark` installs it beside them, because
  `uv run --with accelerate` would bring another PyTorch along.

They take turns in one process after a first round that is not counted. The time is that of the training alone. The
ratio is the median of the turns' ratios, because the speed of a shared machine drifts; 0.95 or more is the aim. With
one round, which shows that it runs and compares nothing, there are fewer texts, and the first round counts.
"""

import argparse
import contextlib
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from growth import write_texts

TEXTS, FEWER = 10_000, 1_000
# Of the transformer: texts, and what `training.hyperparameters` says.
FOR_TRANSFORMER, FEWER_FOR_TRANSFORMER = 2_000, 96
TRANSFORMER = {
    "model": "small_transformer",
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.001,
    "weight_decay": 0.05,
    "warmup": 0.1,
    "validation": 0.0,
    "max_tokens": 128,
    "vocabulary": 8000,
    "layers": 2,
    "width": 128,
    "dropout": 0.1,
    "device": "cpu",
}
THREADS = 2


def main() -> None:
    """Measure, and print texts per second of both and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type nlp")
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each way; few are too noisy")
    options = arguments.parse_args()
    source = options.project.resolve() / "data-science" / "src"
    sys.path.insert(0, str(source))
    package = next(path.parent.name for path in source.glob("*/score.py"))
    few = options.rounds == 1
    print(f"{'texts per second':<28}{'bare library':>14}{'project':>12}{'ratio':>8}")
    line("TF-IDF", FEWER if few else TEXTS, (plain, project), package, options.rounds)
    if importlib.util.find_spec("accelerate") is None:
        print("transformer: not measured, because the Trainer needs the package accelerate; `make benchmark` brings it")
        return
    count = FEWER_FOR_TRANSFORMER if few else FOR_TRANSFORMER
    line("transformer", count, (trainer, project_transformer), package, options.rounds)


def line(name: str, count: int, ways: tuple[Any, Any], package: str, rounds: int) -> None:
    """Let two ways take turns, and print texts per second of both and their ratio."""
    examples, schema = examples_of(package, count)
    turns = [[way(package, examples, schema) for way in ways] for _ in range(rounds + (rounds > 1))][-rounds:]
    best = [min(column) for column in zip(*turns, strict=True)]
    ratio = f"{statistics.median(bare / ours for bare, ours in turns):.2f}" if rounds > 1 else "-"
    label = f"{name}, {count:,} texts"
    print(f"{label:<28}{count / best[0]:>14,.0f}{count / best[1]:>12,.0f}{ratio:>8}", flush=True)


def examples_of(package: str, count: int) -> tuple[Any, Any]:
    """Return generated texts as the project reads them, and their schema."""
    core = __import__(f"{package}.core", fromlist=["modality", "schema"])
    modality = __import__(f"{package}.modality", fromlist=["MODALITY"]).MODALITY
    columns = {"text": core.schema.Column("text", "text"), "label": core.schema.Column("label", "category")}
    schema = core.schema.Schema("label", "classification", columns)
    with tempfile.TemporaryDirectory() as folder:
        write_texts(Path(folder), count)
        return modality.read(Path(folder), schema), schema


def project(package: str, examples: Any, schema: Any) -> float:
    """Seconds that the project needs for TF-IDF."""
    return seconds_of_project(package, examples, schema, {"model": "tfidf", "analyzer": "words"})


def project_transformer(package: str, examples: Any, schema: Any) -> float:
    """Seconds that the project needs for the small transformer; it chooses how many of these threads it uses."""
    import torch

    torch.set_num_threads(THREADS)
    return seconds_of_project(package, examples, schema, TRANSFORMER)


def seconds_of_project(package: str, examples: Any, schema: Any, hyperparameters: dict[str, Any]) -> float:
    """Seconds that the project needs."""
    fitting = __import__(f"{package}.text.fitting", fromlist=["fit"])
    started = time.perf_counter()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        fitting.fit(examples, schema, {"seed": 0, "hyperparameters": hyperparameters}, None)
    return time.perf_counter() - started


def trainer(package: str, examples: Any, schema: Any) -> float:
    """Seconds that the Trainer of Hugging Face needs for the same network."""
    import torch
    import transformers

    pretrained = __import__(f"{package}.text.pretrained", fromlist=["train_tokenizer"])
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(THREADS)
    texts, names = examples.frame["text"].tolist(), examples.frame["label"].tolist()
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    given: dict[str, Any] = TRANSFORMER
    started = time.perf_counter()
    trained = pretrained.train_tokenizer(texts, given["vocabulary"])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=trained, pad_token=pretrained.PAD)
    tokens = tokenizer(texts, truncation=True, max_length=given["max_tokens"], return_token_type_ids=False)["input_ids"]
    rows = [
        {"input_ids": each, "labels": places[name], "length": len(each)}
        for each, name in zip(tokens, names, strict=True)
    ]
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=given["width"],
        num_hidden_layers=given["layers"],
        num_attention_heads=given["width"] // pretrained.WIDTH_OF_A_HEAD,
        intermediate_size=4 * given["width"],
        max_position_embeddings=given["max_tokens"],
        hidden_dropout_prob=given["dropout"],
        attention_probs_dropout_prob=given["dropout"],
        pad_token_id=tokenizer.pad_token_id,
        num_labels=len(places),
    )
    with tempfile.TemporaryDirectory() as folder:
        options = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=given["epochs"],
            per_device_train_batch_size=given["batch_size"],
            learning_rate=given["learning_rate"],
            weight_decay=given["weight_decay"],
            warmup_steps=given["warmup"],
            lr_scheduler_type="cosine",
            optim="adamw_torch_fused",
            max_grad_norm=0.0,
            train_sampling_strategy="group_by_length",
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        transformers.Trainer(
            model=transformers.BertForSequenceClassification(config),
            args=options,
            train_dataset=rows,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        ).train()
    return time.perf_counter() - started


def plain(package: str, examples: Any, schema: Any) -> float:
    """Seconds that scikit-learn needs for TF-IDF."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    word = __import__(f"{package}.text_model", fromlist=["WORD"]).WORD
    weights = TfidfVectorizer(token_pattern=word, sublinear_tf=True, max_features=50_000, dtype=np.float32)
    pipeline = make_pipeline(weights, LogisticRegression(C=50, max_iter=500))
    started = time.perf_counter()
    pipeline.fit(examples.frame["text"].tolist(), examples.frame["label"].tolist())
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
