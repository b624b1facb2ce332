"""How fast does a generated project train a network on images, beside a plain loop of PyTorch?

    uv run --project <project folder> python benchmarks/cv_training.py <project folder> [--rounds N] [--device gpu]

Both train the same small network on the same files, for the same epochs, with the same optimizer and batch size. The
plain loop is a `DataLoader` over a data set that decodes each file with Pillow when it is asked for it. Neither
changes the images, has a validation part or writes checkpoints. They take turns, each in a process of its own, with the
threads that it chooses; OMP_NUM_THREADS=1 compares them with one. The time is that of the training, files and network
included, imports not. The ratios are the medians of those of the turns, because the speed of a shared machine drifts;
0.95 or more is the aim. The second ratio is that of images per second of processor time: other programs disturb it
less, but the threads of the plain loop spend some of theirs on waiting. With one round there are fewer images, all
grey.

On a GPU both compute in the same half precision and copy from pinned memory, and the plain loop decodes in as many
processes as there are processors. There are more images then, and the GPU is awake before the clock starts.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

# Side in pixels, channels, images, epochs and size of a batch: handwritten digits, and small photographs.
KINDS = {"grey, 28 pixels": (28, 1, 4000, 3, 64), "colour, 96 pixels": (96, 3, 400, 2, 32)}
FEWER = {"grey, 28 pixels": (28, 1, 600, 1, 64)}
ON_GPU = {"grey, 28 pixels": (28, 1, 20000, 5, 256), "colour, 96 pixels": (96, 3, 5000, 5, 128)}
CLASSES = [str(number) for number in range(10)]


def main() -> None:
    """Measure, and print images per second of both and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type cv")
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each way; few are too noisy")
    arguments.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="what computes")
    arguments.add_argument("--one", nargs=2, metavar=("WAY", "KIND"), help=argparse.SUPPRESS)
    arguments.add_argument("--fewer", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    root = options.project.resolve()
    if options.one:
        way, kind = options.one
        kinds = FEWER if options.fewer else KINDS if options.device == "cpu" else ON_GPU
        print(json.dumps(one(root, way, options.device, kinds[kind])))
        return
    print(f"{'images per second':<20}{'plain loop':>12}{'project':>12}{'ratio':>8}{'of processor':>14}")
    for kind in FEWER if options.rounds == 1 else KINDS:
        turns = [
            [turn(root, way, kind, options.device, options.rounds == 1) for way in ("plain", "project")]
            for _ in range(options.rounds)
        ]
        bare, ours = (max(speed.by_clock for speed in way) for way in zip(*turns, strict=True))
        ratio = statistics.median(project.by_clock / plain.by_clock for plain, project in turns)
        of_processor = statistics.median(project.by_processor / plain.by_processor for plain, project in turns)
        print(f"{kind:<20}{bare:>12,.0f}{ours:>12,.0f}{ratio:>8.2f}{of_processor:>14.2f}", flush=True)


class Speed(NamedTuple):
    """Images per second: of the clock, and of the time that processors worked."""

    by_clock: float
    by_processor: float


def turn(root: Path, way: str, kind: str, device: str, fewer: bool) -> Speed:
    """Measure one way in a process of its own."""
    command = [sys.executable, __file__, str(root), "--device", device, "--one", way, kind]
    done = subprocess.run([*command, *(["--fewer"] if fewer else [])], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return Speed(*json.loads(done.stdout.splitlines()[-1]))


def one(root: Path, way: str, device: str, kind: tuple[int, int, int, int, int]) -> Speed:
    """Measure one way."""
    if way == "project":
        # As its class `Vision` does before it imports PyTorch.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    if device == "gpu":
        wake_gpu()
    side, channels, count, epochs, batch = kind
    sys.path.insert(0, str(root / "data-science" / "src"))
    package = next(path.parent.name for path in (root / "data-science" / "src").glob("*/score.py"))
    files = [picture(number, side, channels) for number in range(count)]
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        for number, content in enumerate(files):
            Path(f"{number}.png").write_bytes(content)
        load_pytorch(package)
        worked = time.process_time()
        seconds = (plain if way == "plain" else project)(package, device, side, channels, count, epochs, batch)
        worked = time.process_time() - worked
    return Speed(epochs * count / seconds, epochs * count / worked)


def load_pytorch(package: str) -> None:
    """Import what both need; PyTorch imports its compiler with the first optimizer, which takes a second."""
    import torch

    __import__(f"{package}.vision.training")
    torch.optim.AdamW([torch.zeros(1)])


def wake_gpu() -> None:
    """Load the libraries of the GPU, which takes seconds, or stop if there is none."""
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no GPU: run this where there is one, or with --device cpu")
    torch.nn.functional.conv2d(torch.ones(1, 1, 8, 8, device="cuda"), torch.ones(1, 1, 3, 3, device="cuda"))
    torch.cuda.synchronize()


def finish(device: str) -> None:
    """Wait for what the GPU still has to do."""
    if device == "gpu":
        import torch

        torch.cuda.synchronize()


def picture(number: int, side: int, channels: int) -> bytes:
    """Return a picture of a blurred pattern, as a png file."""
    random = np.random.default_rng(number)
    values = random.integers(0, 256, (7, 7, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.convert("L" if channels == 1 else "RGB").save(buffer, "PNG")
    return buffer.getvalue()


def project(package: str, device: str, side: int, channels: int, count: int, epochs: int, batch: int) -> float:
    """Seconds that the project needs."""
    import pandas as pd

    training = __import__(f"{package}.vision.training", fromlist=["fit"])
    core = __import__(f"{package}.core", fromlist=["modality", "schema"])
    columns = {"image": core.schema.Column("image", "text"), "label": core.schema.Column("label", "category")}
    schema = core.schema.Schema("label", "classification", columns)
    frame = pd.DataFrame({"image": [f"{number}.png" for number in range(count)]})
    frame["label"] = [CLASSES[number % len(CLASSES)] for number in range(count)]
    examples = core.modality.Examples(frame, Path())
    settings = {"epochs": epochs, "batch_size": batch, "size": side, "validation": 0, "device": device}
    started = time.perf_counter()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        training.fit(examples, schema, {"seed": 0, "hyperparameters": settings}, None)
    finish(device)
    return time.perf_counter() - started


def plain(package: str, device: str, side: int, channels: int, count: int, epochs: int, batch: int) -> float:
    """Seconds that a plain loop needs."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    networks = __import__(f"{package}.vision.networks", fromlist=["build"])
    look = networks.Look(side, channels, (0.5,) * channels, (0.25,) * channels)

    class Files(Dataset[Any]):
        def __len__(self) -> int:
            return count

        def __getitem__(self, place: int) -> tuple[Any, int]:
            with Image.open(f"{place}.png") as image:
                values = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(side, side, channels)
            return torch.from_numpy(values.transpose(2, 0, 1).copy()), place % len(CLASSES)

    place = torch.device("cuda" if device == "gpu" else "cpu")
    half = torch.bfloat16 if device == "gpu" and torch.cuda.is_bf16_supported() else torch.float16
    loading: dict[str, Any] = {}
    if device == "gpu":
        processes = {"num_workers": os.cpu_count(), "persistent_workers": True, "multiprocessing_context": "fork"}
        loading = {"pin_memory": True, **processes}
    started = time.perf_counter()
    network = networks.build("small_cnn", len(CLASSES), lambda size: look).to(place)
    if device == "gpu":
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 0.006)
    scaler = torch.amp.GradScaler(place.type, enabled=device == "gpu" and half == torch.float16)
    loader = DataLoader(Files(), batch, shuffle=True, **loading)
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            with torch.autocast(place.type, half, enabled=device == "gpu"):
                logits = network(images.to(place, non_blocking=True))
            actual = labels.to(place, non_blocking=True)
            scaler.scale(torch.nn.functional.cross_entropy(logits.float(), actual)).backward()
            scaler.step(optimizer)
            scaler.update()
    finish(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
