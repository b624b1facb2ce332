"""What the training loop asks of the machine that it runs on."""

import sys

import pytest
import torch
from helpers import module

loop = module("neural.loop")


def pages_of_a_batch():
    """Return how many pages Linux hands out for 128 MB in small parts, as the layers of a network take them."""
    from resource import RUSAGE_SELF, getrusage

    before = getrusage(RUSAGE_SELF).ru_minflt
    parts = [torch.zeros(2**19) for _ in range(64)]
    assert len(parts) == 64
    return getrusage(RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other C libraries")
def test_the_next_batch_gets_the_memory_of_the_last_one():
    loop.keep_memory()
    first, second = pages_of_a_batch(), pages_of_a_batch()
    assert second < 3000, first
