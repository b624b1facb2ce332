"""Transformers: a small one that learns from the training texts alone, and pretrained ones of the Hugging Face hub."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from .. import text_model
from ..core.hyperparameters import PLACE
from ..core.modality import Examples
from ..core.places import spread
from ..core.schema import Schema
from ..core.step import StepError
from ..neural import exporting
from ..neural.checkpoints import Checkpoints
from ..neural.components import FITTED_ON
from ..neural.fetching import in_one_line
from ..neural.loop import (
    Arrays,
    Training,
    code_digest,
    digest,
    limit_threads,
    probabilities,
    validation_part,
    without_copies,
)
from ..neural.processes import processes
from ..neural.settings import NOT_OF_THE_MODEL
from . import data, saving
from .hyperparameters import Transformer
from .pretrained import PAD, WIDTH_OF_A_HEAD, from_hub, train_tokenizer


class Network(nn.Module):
    """A body, which turns tokens into vectors, and a head, which turns the mean of those of a text into classes.

    Attributes:
        body: a model of transformers without a task.
        head: gives logits of shape (texts, classes).
    """

    def __init__(self, body: nn.Module, width: int, classes: int, dropout: float) -> None:
        """Join a body, whose vectors have so many numbers, with a new head, which learns without a share of them."""
        super().__init__()
        self.body, self.dropout, self.head = body, nn.Dropout(dropout), nn.Linear(width, classes)

    def features(self, identifiers: Tensor, mask: Tensor) -> Tensor:
        """Return features of shape (texts, features).

        Args:
            identifiers: the numbers of the tokens, of shape (texts, tokens).
            mask: 1 where there is a token, of the same shape.
        """
        vectors = self.body(input_ids=identifiers, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(2).to(vectors.dtype)
        mean: Tensor = (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return mean

    def forward(self, identifiers: Tensor, mask: Tensor) -> Tensor:
        """Return logits of shape (texts, classes)."""
        logits: Tensor = self.head(self.dropout(self.features(identifiers, mask)))
        return logits


class Tokens:
    """The tokens of texts, as the training loop takes them.

    Attributes:
        lengths: how many each text has, of shape (texts,).
        truncated: how many more each text has than the network is given, of shape (texts,).
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], padding: int) -> None:
        """Cut texts into tokens; `padding` is the number of the token that fills up a batch."""
        self._tokens, self.truncated = text_model.tokens(tokenizer, texts)
        self._padding = padding
        self.lengths = np.array([len(each) for each in self._tokens], dtype=np.int64)

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self._tokens)

    def batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[Arrays]:
        """Yield the tokens of the texts of each part, and a mask that is 1 where there is a token."""
        for places in parts:
            yield text_model.padded([self._tokens[place] for place in places], self._padding)


@dataclass(frozen=True)
class TrainedTransformer(saving.TrainedText):
    """A transformer that was trained.

    Attributes:
        network: on the device that it was trained on.
        tokenizer: cuts texts into its tokens.
        padding: the number of the token that fills up a batch.
        model: its name in the settings.
        max_tokens: so many of a text are used.
        truncation: how many training texts, and which share of their tokens, that cuts off.
    """

    network: Network
    tokenizer: Tokenizer
    padding: int
    model: str
    max_tokens: int
    truncation: str

    def notes(self) -> list[str]:
        """Return what of the training texts was cut off."""
        return [self.truncation]

    def write(self, texts: Sequence[str], folder: Path) -> saving.Written:
        """Write the graph and the tokenizer, as `text_model.Network` reads them."""
        network = self.network.to("cpu").eval()
        some = Tokens(self.tokenizer, [texts[place] for place in spread(len(texts), FITTED_ON)], self.padding)
        order = np.argsort(some.lengths, kind="stable")  # batches of similar length
        parts = np.array_split(order, -(-len(order) // exporting.ROWS_AT_ONCE))
        graph = exporting.Graph(network, some.batches(parts))
        export(graph, folder / "model.onnx")
        self.tokenizer.save(str(folder / "tokenizer.json"))
        about = {"model": self.model, "max_tokens": self.max_tokens, "padding": self.padding}
        return saving.Written(about, ("onnxruntime", "tokenizers"))

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities of the classes, of shape (texts, classes)."""
        tokens = Tokens(self.tokenizer, texts, self.padding)
        return probabilities(self.network.eval(), tokens, len(tokens), len(self.classes))


def export(graph: exporting.Graph, path: Path) -> None:
    """Write a graph as ONNX; it takes any number of texts at a time, and of tokens."""
    identifiers, mask = torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0  # as where one text is shorter
    # PyTorch 2.13's newer exporter gives BERT of transformers 5.24 other results than PyTorch's.
    dynamic = {0: "texts", 1: "tokens"}
    exporting.export(graph, {"identifiers": identifiers, "mask": mask}, dynamic, path, traced=True)


def fit(
    examples: Examples,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    schema: Schema,
    settings: Transformer,
    training: Mapping[str, Any],
    checkpoints: Path | None,
) -> TrainedTransformer:
    """Train a transformer.

    On a processor the same examples, settings and seed give the same model, after an interruption too; without dropout,
    several processes give the same one but for rounding.

    Args:
        examples: of the training.
        labels: the place of the class of each, of shape (examples,).
        classes: their names.
        schema: of the data.
        settings: of the model.
        training: the section of the settings, for seed and threshold.
        checkpoints: a folder for the state of the training.

    Raises:
        StepError: the hub has no such model or cannot be reached, a checkpoint is of another training or cannot be
            written, there is no such device, or the training diverges.
    """
    texts, seed = list(examples.frame[text_model.TEXT]), training["seed"]
    with processes(settings.device) as group, torch.random.fork_rng(enabled=True):
        torch.manual_seed(seed)
        tokenizer, padding, network = build(settings, texts, len(classes))
        network.to(group.device)
        tokens = Tokens(tokenizer, texts, padding)
        truncation = _truncation(tokens, settings.max_tokens)
        if group.is_main:
            print(truncation, flush=True)
        limit_threads(settings.batch_size // group.count * int(tokens.lengths.mean()) * network.head.in_features)
        validation = validation_part(examples.frame, schema, labels, settings.validation)
        if validation.any():
            validation = without_copies(validation, data.fingerprints(examples.frame), data.alike)
        identity = {
            **{key: value for key, value in asdict(settings).items() if key not in NOT_OF_THE_MODEL},
            **{"classes": list(classes), "seed": seed},
            "code": code_digest(Path(__file__).parent),
            "examples": digest(examples.frame[text_model.TEXT], labels, validation),
        }
        Training(
            group,
            settings,
            network,
            tokens,
            labels,
            len(classes),
            validation,
            seed,
            Checkpoints(checkpoints, identity),
            f"{settings.model} on {group.device.type}, {tokenizer.get_vocab_size():,} different tokens",
            unit="texts",
            lengths=tokens.lengths,
        ).run()
    threshold = training.get("threshold") or 0.5
    about = settings.model, settings.max_tokens, truncation
    return TrainedTransformer(tuple(classes), schema, threshold, network, tokenizer, padding, *about)


def _truncation(tokens: Tokens, most: int) -> str:
    longer, total = int(np.count_nonzero(tokens.truncated)), int(tokens.lengths.sum() + tokens.truncated.sum())
    text = f"{longer:,} of {len(tokens):,} training texts ({longer / len(tokens):.1%}) are cut after {most} tokens"
    if not longer:
        return text
    lost = f"{tokens.truncated.sum() / total:.1%} of all tokens"
    return f"{text}, which leaves out {lost}; {PLACE}.max_tokens is the limit"


def build(settings: Transformer, texts: Sequence[str], classes: int) -> tuple[Tokenizer, int, Network]:
    """Return a tokenizer, the number of its token for padding, and a network that is not trained for these classes yet.

    Raises:
        StepError: the hub has no such model or cannot be reached, or the model cannot be used.
    """
    hub_name = settings.hub_name
    tokenizer, body = _small(settings, texts) if hub_name is None else _pretrained(hub_name, settings)
    padding = getattr(body.config, "pad_token_id", None) or 0
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_tokens)
    network = Network(body, body.config.hidden_size, classes, settings.dropout)
    _try(network, settings)
    return tokenizer, padding, network


def _small(settings: Transformer, texts: Sequence[str]) -> tuple[Tokenizer, Any]:
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.width // WIDTH_OF_A_HEAD,
        intermediate_size=4 * settings.width,
        max_position_embeddings=settings.max_tokens,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return tokenizer, transformers.BertModel(config, add_pooling_layer=False)


def _pretrained(name: str, settings: Transformer) -> tuple[Tokenizer, Any]:
    tokenizer, body = from_hub(name, settings.revision, transformers.AutoModel)
    if not hasattr(body.config, "hidden_size") or body.config.is_encoder_decoder:
        raise StepError(f"{PLACE}.model: hub:{name} is no encoder of texts, such as BERT; choose another model")
    return tokenizer, body


def _try(network: Network, settings: Transformer) -> None:
    """Let a network compute as many tokens as it may get; what its features do not depend on does not learn.

    Raises:
        StepError: it cannot take so many.
    """
    one = torch.ones(1, settings.max_tokens, dtype=torch.int64)
    try:
        network.eval()(one, one).sum().backward()
    except Exception as error:  # whatever a layer raises that has fewer places
        limit = getattr(network.body.config, "max_position_embeddings", None)
        most = f", which has {limit} positions," if limit else ""
        raise StepError(
            f"{PLACE}.max_tokens: {settings.model}{most} cannot take {settings.max_tokens} tokens "
            f"({in_one_line(error)}); choose fewer"
        ) from error
    for weight in network.parameters():
        weight.requires_grad_(weight.grad is not None)
    network.zero_grad(set_to_none=True)
