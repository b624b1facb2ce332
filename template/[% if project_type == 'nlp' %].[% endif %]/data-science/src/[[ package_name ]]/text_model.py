"""Texts as a model sees them: their words, and the model itself, of scikit-learn or a network for ONNX Runtime.

MLflow copies this file into each model, so it imports nothing from its own package, and only what the environment
`inference` has.
"""

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray

TEXT = "text"

# Scripts that put no spaces between words, each of whose signs counts as a word: Thai and Lao, Tibetan, Burmese, Khmer,
# Japanese, Chinese. Pictures too.
_NO_SPACES = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PICTURES = "\u2600-\u27bf\U0001f000-\U0001faff"


def _ranges(categories: Sequence[str]) -> str:
    """Return the characters of some categories of Unicode, as a part of a regular expression."""
    places = [place for place in range(0x10000) if unicodedata.category(chr(place)) in categories]
    starts = [place for place, before in zip(places, [-2, *places], strict=False) if place != before + 1]
    ends = [place for place, after in zip(places, [*places[1:], -2], strict=True) if place != after - 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


# Letters, digits and the marks above and below letters, without which Hindi would fall into pieces.
_MARKS = _ranges(("Mn", "Mc"))
_LETTERS = rf"[^\W{_NO_SPACES}]"
WORD = rf"{_LETTERS}+(?:[{_MARKS}]+{_LETTERS}*)*|[{_NO_SPACES}{_PICTURES}]"
"""What a word is, as a regular expression."""

_WORD = re.compile(WORD)
_NO_SPACE = re.compile(f"[{_NO_SPACES}]")

# So many texts are computed at a time.
_ROWS_AT_ONCE = 64
_TOKENIZED_AT_ONCE = 1000


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; of scripts without spaces each sign is one."""
    return _WORD.findall(text.lower())


def word_places(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text starts, and where what follows it does."""
    return [each.span() for each in _WORD.finditer(text)]


def share_without_spaces(text: str) -> float:
    """Return which share of the words of a text are signs of scripts that put no spaces between words, 0 to 1."""
    return len(_NO_SPACE.findall(text)) / max(len(_WORD.findall(text)), 1)


class _Classifier(Protocol):
    """What computes the two outputs of a model: `probabilities`, and the components of an `embedding`."""

    def run(self, output: str, texts: Sequence[str]) -> NDArray[Any]:
        """Return an output, of shape (texts, columns)."""
        ...


class Linear:
    """A pipeline of scikit-learn, which ends with a classifier, and the directions of its embedding."""

    def __init__(self, folder: Path, kinds: Mapping[str, Sequence[int]]) -> None:
        """Read the terms that are known from `terms.json`, and all numbers from `weights.npz`.

        Args:
            folder: with both files.
            kinds: what a term is, as in `vectorizers`.
        """
        from sklearn.linear_model import LogisticRegression  # here: who only counts words does not need it

        terms = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
        with np.load(folder / "weights.npz") as weights:
            made = vectorizers(kinds)
            for kind, vectorizer in made.items():
                vectorizer.vocabulary = terms[kind]
                vectorizer.idf_ = weights[f"idf {kind}"]
            classifier = LogisticRegression()
            classifier.coef_, classifier.intercept_ = weights["coefficients"], weights["intercept"]
            self.directions: NDArray[np.float32] = weights["directions"]
        classifier.classes_ = np.arange(max(2, len(classifier.intercept_)))
        self.pipeline = pipeline(made, classifier)

    def run(self, output: str, texts: Sequence[str]) -> NDArray[Any]:
        """Return an output, of shape (texts, columns)."""
        if not len(texts):  # there are columns all the same
            classes, directions = len(self.pipeline.classes_), self.directions.shape[1]
            return np.empty((0, classes if output == "probabilities" else directions))
        if output == "probabilities":
            return np.asarray(self.pipeline.predict_proba(texts))
        return np.asarray(self.pipeline[:-1].transform(texts) @ self.directions)


def vectorizers(kinds: Mapping[str, Sequence[int]], **options: Any) -> dict[str, Any]:
    """Return what turns texts into weights of terms.

    Args:
        kinds: of terms, `words` or `characters`, with the fewest and the most of them in a term.
        options: of scikit-learn's TfidfVectorizer.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    ways = {"words": {"token_pattern": WORD}, "characters": {"analyzer": "char_wb"}}
    # Half the memory of double precision.
    options = {"sublinear_tf": True, "dtype": np.float32, **options}
    return {kind: TfidfVectorizer(ngram_range=tuple(ngrams), **ways[kind], **options) for kind, ngrams in kinds.items()}


def pipeline(vectorizers: Mapping[str, Any], classifier: Any) -> Any:
    """Return a pipeline of scikit-learn: the vectorizers side by side, and what decides by their weights."""
    from sklearn.pipeline import FeatureUnion, Pipeline

    several = len(vectorizers) > 1
    terms = FeatureUnion(list(vectorizers.items())) if several else next(iter(vectorizers.values()))
    return Pipeline([("terms", terms), ("classifier", classifier)])


class Network:
    """A network that ONNX Runtime computes, on a GPU where there is one and the package for it."""

    def __init__(self, folder: Path, padding: int) -> None:
        """Load the graph from `model.onnx`, and what cuts texts into tokens from `tokenizer.json`.

        Args:
            folder: with both files.
            padding: the number of the token that fills up a batch.
        """
        import onnxruntime  # here: who only counts words does not need it
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        # As other numerical libraries do it; 0 is one thread for each core.
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        known = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
        if providers[0] != "CPUExecutionProvider":
            onnxruntime.preload_dlls()  # the packages of CUDA lie beside its own, where the loader does not look
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=providers)
        if self.session.get_providers()[0] != providers[0]:
            print("no GPU can be used here: the model is computed by the processor", flush=True)
        self.tokenizer, self.padding = Tokenizer.from_file(str(folder / "tokenizer.json")), padding

    def run(self, output: str, texts: Sequence[str]) -> NDArray[Any]:
        """Return an output, of shape (texts, columns)."""
        # Without texts there are columns all the same.
        columns = {each.name: each.shape[1] for each in self.session.get_outputs()}[output]
        values = np.empty((len(texts), columns), dtype=np.float32)
        found, _ = tokens(self.tokenizer, texts)
        # A batch is as long as its longest text, so those of similar length are computed together.
        order = np.argsort([len(each) for each in found], kind="stable")
        for first in range(0, len(order), _ROWS_AT_ONCE):
            rows = order[first : first + _ROWS_AT_ONCE]
            identifiers, mask = padded([found[row] for row in rows], self.padding)
            [values[rows]] = self.session.run([output], {"identifiers": identifiers, "mask": mask})
        return values


def tokens(tokenizer: Any, texts: Sequence[str]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Return the numbers of the tokens of texts, with those that mark start and end, and how many more each text has.

    Args:
        tokenizer: of the library tokenizers, which knows how many a text may have.
        texts: to cut into tokens.
    """
    numbers, more = [], []
    for first in range(0, len(texts), _TOKENIZED_AT_ONCE):
        for each in tokenizer.encode_batch_fast(list(texts[first : first + _TOKENIZED_AT_ONCE])):
            numbers.append(np.array(each.ids, dtype=np.int64))
            # The marks are in each part.
            more.append(sum(len(part) - sum(part.special_tokens_mask) for part in each.overflowing))
    return numbers, np.array(more, dtype=np.int64)


def padded(tokens: Sequence[NDArray[np.int64]], padding: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return texts of tokens side by side, of shape (texts, longest), and a mask that is 1 where there is a token.

    Args:
        tokens: of each text.
        padding: the number that stands where there is none.
    """
    lengths = np.array([len(each) for each in tokens])
    mask = (np.arange(lengths.max(initial=1)) < lengths[:, np.newaxis]).astype(np.int64)
    identifiers = np.full_like(mask, padding)
    identifiers[mask.astype(bool)] = np.concatenate(tokens)
    return identifiers, mask


class TextClassifier(PythonModel):
    """Classes of texts, with a probability each; or, with the parameter `embedding`, how the model sees them."""

    def load_context(self, context: Any) -> None:
        """Load the files of the model."""
        folder = Path(context.artifacts["model"])
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.classes = about["classes"]
        self.values = np.array([int(name) for name in self.classes] if about["integers"] else self.classes)
        self.known = frozenset(json.loads((folder / "words.json").read_text(encoding="utf-8")))
        kinds = about.get("terms")
        self.classifier: _Classifier = Linear(folder, kinds) if kinds else Network(folder, about["padding"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a row for each text.

        Args:
            context: of MLflow.
            model_input: the column `text`.
            params: with `embedding` true the result is the embedding.

        Returns:
            The column `prediction` and, named like the classes, their probabilities; or the column `unknown`, the share
            of the words that training did not know, and the components of the embedding.

        Raises:
            ValueError: a value is no text; the line names its row.
        """
        texts = list(model_input[TEXT])
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"row {row}: {TEXT} is missing or no text")
        if (params or {}).get("embedding"):
            values = self.classifier.run("embedding", texts)
            names = [f"component_{place}" for place in range(1, values.shape[1] + 1)]
            table = pd.DataFrame(values.astype(float), columns=names)
            table.insert(0, "unknown", [self._unknown(text) for text in texts])
            return table
        values = self.classifier.run("probabilities", texts).astype(float)
        table = pd.DataFrame(values, columns=self.classes)
        table.insert(0, "prediction", self.values[values.argmax(axis=1)])
        return table

    def _unknown(self, text: str) -> float:
        found = words(text)
        return sum(word not in self.known for word in found) / max(len(found), 1)


set_model(TextClassifier())
