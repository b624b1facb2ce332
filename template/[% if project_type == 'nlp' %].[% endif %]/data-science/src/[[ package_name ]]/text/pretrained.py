"""Tokenizers and networks: a tokenizer that is trained on texts, and what the Hugging Face hub has."""

from collections.abc import Iterable
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from ..core.hyperparameters import PLACE
from ..core.step import StepError
from ..neural.fetching import in_one_line, is_unreachable

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
WIDTH_OF_A_HEAD = 32
"""Of the attention of a small network."""
# A token that occurs less often says nothing.
_RAREST = 2


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Return a tokenizer for the script of some texts: byte pair encoding of words in lower case.

    Chinese signs are words. A language without spaces whose words cannot be told apart is cut into its most frequent
    groups of characters; a character that no text has is unknown.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(strip_accents=False, lowercase=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [PAD, UNKNOWN, START, END]
    # With a prefix for what goes on inside a word, the same texts would not always give the same tokens.
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=_RAREST, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    start, end = (tokenizer.token_to_id(each) for each in (START, END))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    return tokenizer


def from_hub(name: str, revision: str | None, network: Any) -> tuple[Tokenizer, Any]:
    """Return tokenizer and network of a model of the hub, at a revision.

    Args:
        name: of the model.
        revision: the hash of a commit.
        network: the class of transformers that loads it, such as AutoModel.

    Raises:
        StepError: the hub has no such model or cannot be reached, or the model has no fast tokenizer.
    """
    # Code that a model brings along is never run, and neither is pickle, in which weights can hide some.
    options = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        body = network.from_pretrained(name, use_safetensors=True, dtype=torch.float32, **options)
    except Exception as error:  # the libraries wrap the errors of the network, each in its own way
        access = "allow access to the hub, or put the model into its cache (HF_HOME) and set HF_HUB_OFFLINE=1"
        if is_unreachable(error):
            where = f"hub:{name} at revision {revision} is not in the cache, and the hub cannot be reached"
            raise StepError(f"{PLACE}.model: {where}: {access}") from error
        raise StepError(
            f"{PLACE}.model: hub:{name} cannot be loaded at this revision ({in_one_line(error)}): {access}; it must "
            "have a tokenizer, weights in safetensors, and no code of its own"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise StepError(f"{PLACE}.model: hub:{name} has no fast tokenizer (tokenizer.json); choose another model")
    return tokenizer.backend_tokenizer, body
