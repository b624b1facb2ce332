"""Several processes that train together, as `torchrun` and Azure ML start them, or one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.hyperparameters import PLACE
from ..core.step import StepError, is_main_process

# A process waits no longer than that for the others, one of which may have failed.
_PATIENCE = timedelta(minutes=5)
# The devices that the NVIDIA driver of a Linux machine makes, and that a container on a GPU node has.
_DEVICES, _GPUS = Path("/dev"), "nvidia[0-9]*"
_PLACE = f"{PLACE}.device"


@dataclass(frozen=True)
class Processes:
    """The processes that train together, as one of them sees them.

    Attributes:
        rank: of this one, from 0.
        count: how many there are.
        device: what this one computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this one prints, logs and writes."""
        return is_main_process()

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are the mean of those of all processes."""
        if self.count == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return DistributedDataParallel(network, device_ids=[self.device.index])
        return DistributedDataParallel(network)

    def total(self, values: Tensor) -> list[float]:
        """Return the sum of numbers over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return [float(value) for value in values.tolist()]

    def from_main(self, make: Callable[[], Any]) -> Any:
        """Return what the first process makes, in each; its StepError too."""
        if self.count == 1:
            return make()
        made: list[Any] = [None, None]
        if self.rank == 0:
            try:
                made[0] = make()
            except StepError as error:
                made[1] = str(error)
        distributed.broadcast_object_list(made, device=self.device if self.device.type == "cuda" else None)
        if made[1] is not None:
            raise StepError(made[1])
        return made[0]


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that train together, and leave them at the end, after an error too.

    `torchrun` and Azure ML (`distribution: pytorch`) name rank and number of the processes, and the address of the
    first one, in environment variables.

    Args:
        device: auto, cpu or gpu.

    Raises:
        StepError: there is no GPU for this process, and one is asked for.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, count, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name != "cpu" and not available and any(_DEVICES.glob(_GPUS)):
        _refuse_idle_gpu()
    if name == "gpu" and not available:
        raise StepError(
            f"{_PLACE}: gpu is asked for, and PyTorch {torch.__version__} sees none: choose auto or cpu, or a compute "
            "with an NVIDIA GPU and PyTorch's build for CUDA"
        )
    if name == "cpu" or not available:
        return torch.device("cpu")
    if local_rank >= available:
        raise StepError(f"{_PLACE}: process {local_rank + 1} of this machine has no GPU, there are {available}")
    return torch.device("cuda", local_rank)


def _refuse_idle_gpu() -> None:
    """Stop on a machine with a GPU that PyTorch cannot use; where it is not meant to use one, print a line.

    The build for CPUs is what a laptop has by default, GPU or not; a job on Azure ML pays for the GPU.

    Raises:
        StepError: with the reason that PyTorch gives.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return
    if torch.version.cuda is None and "AZUREML_RUN_ID" not in os.environ:
        if is_main_process():
            print(f"the GPU of this machine stays idle: PyTorch {torch.__version__} is the build for CPUs", flush=True)
        return
    try:
        torch.cuda.init()
        reason = "it sees none"
    except Exception as error:  # a driver that is too old, a build without CUDA: each has a class of its own
        reason = " ".join(str(error).split())[:300].rstrip(".")
    raise StepError(
        f"{_PLACE}: this machine has an NVIDIA GPU, and PyTorch {torch.__version__} cannot use it ({reason}): take the "
        "build of PyTorch for the CUDA version of its driver in data-science/environment/train.yml, or choose cpu to "
        "train without the GPU"
    )


def processors() -> int:
    """Return how many processors this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
