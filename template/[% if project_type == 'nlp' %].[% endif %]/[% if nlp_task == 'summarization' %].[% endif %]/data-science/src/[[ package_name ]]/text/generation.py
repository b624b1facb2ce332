"""Networks that write summaries: a small one that learns from the training texts alone, and those of the hub."""

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
from torch.nn import functional

from .. import text_model
from ..core.hyperparameters import PLACE
from ..core.modality import Examples
from ..core.places import spread
from ..core.schema import Schema
from ..core.step import StepError
from ..neural.checkpoints import Checkpoints
from ..neural.components import FITTED_ON, principal_components
from ..neural.fetching import in_one_line
from ..neural.loop import Arrays, Training, code_digest, digest, limit_threads, validation_part, without_copies
from ..neural.processes import processes
from ..neural.settings import NOT_OF_THE_MODEL
from . import data, saving
from .hyperparameters import Generation
from .pretrained import END, PAD, START, WIDTH_OF_A_HEAD, from_hub, train_tokenizer

# Where a summary has no more tokens, no loss is computed.
_NOTHING = -100


class Losses(nn.Module):
    """A network of transformers with an encoder and a decoder, as the training loop takes it: it gives losses."""

    def __init__(self, network: Any, smoothing: float) -> None:
        """Wrap a network; `smoothing` is the share of the labels that is spread over all tokens in the training."""
        super().__init__()
        self.network, self.smoothing = network, smoothing

    def forward(self, identifiers: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of the tokens of each summary, of shape (texts,).

        Args:
            identifiers: the numbers of the tokens of the texts, of shape (texts, tokens).
            mask: 1 where there is a token, of the same shape.
            labels: the numbers of the tokens of the summaries, -100 where there is none.
        """
        logits = self.network(input_ids=identifiers, attention_mask=mask, labels=labels).logits
        smoothing = self.smoothing if self.training else 0.0
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), labels, ignore_index=_NOTHING, reduction="none", label_smoothing=smoothing
        )
        mean: Tensor = losses.sum(dim=1) / (labels != _NOTHING).sum(dim=1).clamp(min=1)
        return mean


class Pairs:
    """The tokens of texts and of their summaries, as the training loop takes them.

    Attributes:
        lengths: how many tokens each text has, of shape (texts,).
        truncated: how many more each has than the network is given, of shape (texts,).
    """

    def __init__(
        self, generator: text_model.Generator, texts: Sequence[str], summaries: Sequence[str], most: int
    ) -> None:
        """Cut texts into tokens, and their summaries into at most so many."""
        self._padding = generator.network.config.pad_token_id
        prefixed = [generator.prefix + text for text in texts]
        self._texts, self.truncated = text_model.tokens(generator.tokenizer, prefixed)
        shorter = Tokenizer.from_str(generator.tokenizer.to_str())
        shorter.enable_truncation(most)
        self._summaries, _ = text_model.tokens(shorter, summaries)
        self.lengths = np.array([len(each) for each in self._texts], dtype=np.int64)

    def batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[Arrays]:
        """Yield the tokens of the texts of each part, a mask that is 1 where there is one, and the labels."""
        for places in parts:
            labels, there = text_model.padded([self._summaries[place] for place in places], self._padding)
            texts = text_model.padded([self._texts[place] for place in places], self._padding)
            yield (*texts, np.where(there == 1, labels, _NOTHING))


@dataclass(frozen=True)
class TrainedGeneration(saving.TrainedSummarizer):
    """A network that was trained to write summaries.

    Attributes:
        generator: the network, on the device that it was trained on.
        truncation: how many training texts, and which share of their tokens, were cut off.
    """

    generator: text_model.Generator
    truncation: str

    def summaries(self, texts: Sequence[str]) -> list[str]:
        """Return a summary of each text."""
        return self.generator.summaries(texts)

    def notes(self) -> list[str]:
        """Return what of the training texts was cut off."""
        return [self.truncation]

    def write(self, texts: Sequence[str], folder: Path) -> Sequence[str]:
        """Write the network, and an embedding of what its encoder makes of training texts."""
        self.generator.network.to("cpu")
        some = [texts[place] for place in spread(len(texts), FITTED_ON)]
        directions, centre = principal_components(self.generator.encoded(some).astype(float))
        self.generator.directions, self.generator.centre = directions.astype(np.float32), centre.astype(np.float32)
        self.generator.write(folder)
        return ("tokenizers", "torch", "transformers")


def fit(
    examples: Examples, schema: Schema, settings: Generation, training: Mapping[str, Any], checkpoints: Path | None
) -> TrainedGeneration:
    """Train a network that writes summaries.

    On a processor the same examples, settings and seed give the same model, after an interruption too.

    Args:
        examples: of the training.
        schema: of the data.
        settings: of the model.
        training: the section of the settings, for the seed.
        checkpoints: a folder for the state of the training.

    Raises:
        StepError: the hub has no such model or cannot be reached, a checkpoint is of another training or cannot be
            written, there is no such device, or the training diverges.
    """
    texts, summaries = (list(examples.frame[name]) for name in (text_model.TEXT, schema.target))
    labels, seed = np.zeros(len(texts), dtype=np.int64), training["seed"]
    with processes(settings.device) as group, torch.random.fork_rng(enabled=True):
        torch.manual_seed(seed)
        generator = build(settings, [*texts, *summaries])
        network = Losses(generator.network.to(group.device), settings.label_smoothing)
        pairs = Pairs(generator, texts, summaries, settings.max_new_tokens)
        truncation = _truncation(pairs, settings.max_tokens)
        if group.is_main:
            print(truncation, flush=True)
        limit_threads(settings.batch_size // group.count * int(pairs.lengths.mean()) * settings.width)
        validation = validation_part(examples.frame, schema, labels, settings.validation)
        if validation.any():
            validation = without_copies(validation, data.fingerprints(examples.frame), data.alike)
        identity = {
            **{key: value for key, value in asdict(settings).items() if key not in NOT_OF_THE_MODEL},
            "seed": seed,
            "code": code_digest(Path(__file__).parent),
            "examples": digest([*texts, *summaries], labels, validation),
        }
        Training(
            group,
            settings,
            network,
            pairs,
            labels,
            0,
            validation,
            seed,
            Checkpoints(checkpoints, identity),
            f"{settings.model} on {group.device.type}, {generator.tokenizer.get_vocab_size():,} different tokens",
            unit="texts",
            lengths=pairs.lengths,
        ).run()
        if group.is_main:
            print(f"writing summaries: at most {settings.max_new_tokens} tokens, {settings.beams} beams", flush=True)
    return TrainedGeneration(generator, truncation)


def untrained(texts: Sequence[str], settings: Generation) -> NDArray[Any]:
    """Return the summaries that a model of the hub writes before it learns from these data, of shape (texts,).

    Raises:
        StepError: the hub has no such model or cannot be reached.
    """
    generator = build(settings, texts)
    with processes(settings.device) as group:
        generator.network.to(group.device)
        print(f"{settings.model} writes summaries of {len(texts):,} texts as it is", flush=True)
        return np.array([*generator.summaries(texts), None], dtype=object)[:-1]


def _truncation(pairs: Pairs, most: int) -> str:
    longer, count = int(np.count_nonzero(pairs.truncated)), len(pairs.truncated)
    text = f"{longer:,} of {count:,} training texts ({longer / count:.1%}) are cut after {most} tokens"
    if not longer:
        return text
    lost = f"{pairs.truncated.sum() / (pairs.lengths.sum() + pairs.truncated.sum()):.1%} of all tokens"
    return f"{text}, which leaves out {lost}; {PLACE}.max_tokens is the limit"


def build(settings: Generation, texts: Sequence[str]) -> text_model.Generator:
    """Return a network that is not trained for these texts yet, with its tokenizer.

    Raises:
        StepError: the hub has no such model or cannot be reached, or the model cannot be used.
    """
    name = settings.hub_name
    tokenizer, network = _small(settings, texts) if name is None else _pretrained(name, settings)
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_tokens)
    # What a network of the hub has learned besides, such as not to repeat itself, stays in its own settings.
    options = {"max_new_tokens": settings.max_new_tokens, "num_beams": settings.beams, "do_sample": False}
    generator = text_model.Generator(network, tokenizer, options, settings.prefix)
    _try(generator, settings)
    return generator


def _small(settings: Generation, texts: Sequence[str]) -> tuple[Tokenizer, Any]:
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    padding, start, end = (tokenizer.token_to_id(each) for each in (PAD, START, END))
    heads, wide = settings.width // WIDTH_OF_A_HEAD, 4 * settings.width
    config = transformers.BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=settings.width,
        max_position_embeddings=max(settings.max_tokens, settings.max_new_tokens + 2),
        dropout=settings.dropout,
        pad_token_id=padding,
        bos_token_id=start,
        eos_token_id=end,
        decoder_start_token_id=end,
        forced_eos_token_id=end,
        **{f"{part}_layers": settings.layers for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": heads for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": wide for part in ("encoder", "decoder")},
    )
    network = transformers.BartForConditionalGeneration(config)
    # Else one that has learned little says the same words again and again.
    network.generation_config.no_repeat_ngram_size = 3
    return tokenizer, network


def _pretrained(name: str, settings: Generation) -> tuple[Tokenizer, Any]:
    tokenizer, network = from_hub(name, settings.revision, transformers.AutoModelForSeq2SeqLM)
    if getattr(network.config, "pad_token_id", None) is None:
        raise StepError(f"{PLACE}.model: hub:{name} has no token that fills up a batch; choose another model")
    return tokenizer, network


def _try(generator: text_model.Generator, settings: Generation) -> None:
    """Let a network compute as many tokens as it may get.

    Raises:
        StepError: it cannot take so many.
    """
    one = torch.ones(1, settings.max_tokens, dtype=torch.int64)
    labels = torch.ones(1, settings.max_new_tokens, dtype=torch.int64)
    try:
        with torch.inference_mode():
            generator.network.eval()(input_ids=one, attention_mask=one, labels=labels)
    except Exception as error:  # whatever a layer raises that has fewer places
        limit = getattr(generator.network.config, "max_position_embeddings", None)
        most = f", which has {limit} positions," if limit else ""
        raise StepError(
            f"{PLACE}.max_tokens: {settings.model}{most} cannot take {settings.max_tokens} tokens and write "
            f"{settings.max_new_tokens} ({in_one_line(error)}); choose fewer"
        ) from error
