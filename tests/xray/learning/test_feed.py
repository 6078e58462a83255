"""Batches on their way to the device: the same numbers, made by the thread that is ahead, and a script for who has a GPU."""

import threading

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.gpu import main
from xray.learning.feed import Feed
from xray.learning.infer import score
from xray.learning.network import Network
from xray.pixels.batches import Batches


def pictures(n=20, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_the_thread_that_reads_ahead_delivers_the_same_tensors(prefetch):
    threads = set()

    def deliver(images):
        threads.add(threading.current_thread().name.split("_")[0])
        return Feed(torch.device("cpu"))(images)

    plain = Batches(pictures(), range(20), 8, 0, prefetch=prefetch)
    fed = Batches(pictures(), range(20), 8, 0, prefetch=prefetch, deliver=deliver)
    for expected, batch in zip(plain, fed, strict=True):
        np.testing.assert_array_equal(batch.positions, expected.positions)
        np.testing.assert_array_equal(batch.images.numpy(), expected.images)
        assert fed.state == plain.state, "a checkpoint goes on with the batch that comes next"
    assert threads == ({"batches"} if prefetch else {"MainThread"})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_logits_of_the_cpu():
    torch.backends.cudnn.allow_tf32 = False
    network, positions = Network("resnet10t", 32).eval(), np.arange(300) % 20
    expected = score(network, pictures(), positions)
    np.testing.assert_allclose(score(network.cuda(), pictures(), positions), expected, atol=1e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_script_says_so_and_exits_with_0():
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert (result.stdout, result.stderr) == ("", "not measured: there is no GPU that torch can use\n")
