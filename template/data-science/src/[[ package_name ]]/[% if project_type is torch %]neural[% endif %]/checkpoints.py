"""The state of a long training on disk, so that it goes on where it was interrupted."""

import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core.step import StepError

FILE = "checkpoint.pt"


class Checkpoints:
    """One file in a folder, which always holds a complete state: it is written beside the last one and then renamed."""

    def __init__(self, folder: Path | None, training: Mapping[str, Any]) -> None:
        """Keep states of one training in a folder; without one none is kept.

        Args:
            folder: where the file is, or will be.
            training: all that the result of the training depends on, as plain values; the data too.
        """
        self.path = None if folder is None else folder / FILE
        self._training = dict(training)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last; None if there is none, or that of another training that has finished.

        Raises:
            StepError: it is damaged, or of another training that was interrupted.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            document = torch.load(self.path, map_location="cpu", weights_only=True)
            trained, state = dict(document["training"]), dict(document["state"])
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise StepError(f"{self.path}: it is no valid checkpoint, delete it to start afresh") from error
        for key, value in self._training.items():
            if trained.get(key) != value:
                other = f"another training ({key} was {trained.get(key)}, and is {value})"
                # Nothing is lost with it: the next training in this folder, such as that of each month, replaces it.
                if state["finished"]:
                    print(f"{self.path}: it is of {other}, which has finished; starting afresh", flush=True)
                    return None
                raise StepError(
                    f"{self.path}: it belongs to {other}; delete it to start afresh, or give another folder"
                )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the state on disk by this one; its `finished` says whether the training has ended.

        Raises:
            StepError: it cannot be written; the last one stays valid.
        """
        if self.path is None:
            return
        content = io.BytesIO()
        torch.save({"training": self._training, "state": dict(state)}, content)
        beside = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            kept = "the last one there is valid" if self.path.is_file() else "there is none yet"
            raise StepError(
                f"{self.path}: the checkpoint cannot be written ({error.strerror or error}), {kept}: make room, and "
                "start the same training again to go on from there"
            ) from error
