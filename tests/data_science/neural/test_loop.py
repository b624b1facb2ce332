"""What the training loop asks of the machine that it runs on."""

import sys

import pytest
import torch
from helpers import module

loop = module("neural.loop")


def pages_of_a_batch():
    """Return how many of the pages of 128 MB (32,768) Linux hands out anew, when small parts take them as layers do."""
    from resource import RUSAGE_SELF, getrusage

    before = getrusage(RUSAGE_SELF).ru_minflt
    parts = [torch.zeros(2**19) for _ in range(64)]
    assert len(parts) == 64
    return getrusage(RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other C libraries")
def test_the_next_batch_gets_the_memory_of_the_last_one():
    loop.keep_memory()
    first, second = pages_of_a_batch(), pages_of_a_batch()
    # Allocators and other threads take some thousand pages for themselves.
    assert second < 32768 / 4, first
