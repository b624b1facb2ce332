"""A year in which one model is trained really: by the steps of the project around, on its sample, for `mlops local`."""

import json
import math
from pathlib import Path
from typing import ClassVar

from azure_ml import Model, Training, Workspace
from year import Year


class YearWithTraining(Year):
    """A team whose next training is a real one; `run` is the folder that `mlops local` left of it."""

    run: ClassVar[Path]

    def train_really(self) -> None:
        """Let the next training be the real one: its model, its hash and its metric are those of the steps."""
        stub = self.world.train

        def train(workspace: Workspace, training: Training) -> None:
            setattr(self.world, "train", stub)  # noqa: B010 - a method of this one object
            people, number = self.people, str(1 + max(map(int, workspace.models)))
            quality = people.qualities.setdefault(training.data["raw_data"], people.quality)
            registration = json.loads(self._file("register", "registration.json").read_text(encoding="utf-8"))
            metrics = json.loads(self._file("evaluate", "metrics.json").read_text(encoding="utf-8"))
            value = metrics["challenger"][metrics["metric"]]
            assert registration["registered"] is True
            assert math.isfinite(value)
            files = f"version {number}, quality {quality}, trained to {value}"
            self.world.folders[files] = self._file("train", "MLmodel").parent
            workspace.models[number] = Model(files, {"sha256": registration["sha256"]})
            training.status = "Completed"
            training.registration = registration | {"name": "a-model", "version": number}

        setattr(self.world, "train", train)  # noqa: B010

    def _file(self, step: str, name: str) -> Path:
        return min((self.run / step).rglob(name), key=lambda path: len(path.parts))
