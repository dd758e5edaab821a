from pathlib import Path

import numpy as np
import torch
from conftest import refused

from segkit.augment import Augmentation
from segkit.data import Sample, load_dataset
from segkit.training.sampler import EpochSampler, sampling_weights


def test_an_epoch_of_so_many_steps_deals_every_picture_before_any_comes_again():
    sampler = EpochSampler(6, 4, 0, steps=2)
    dealt = list(sampler)
    sampler.set_epoch(1)
    dealt += list(sampler)
    assert len(dealt) == 16
    names = [card[0] if isinstance(card, tuple) else card for card in dealt]
    assert sorted(names[:6]) == sorted(names[6:12]) == list(range(6))
    assert {card for card in dealt[:8] if isinstance(card, tuple)} == {(name, 1) for name in names[6:8]}


def test_a_picture_that_comes_again_within_an_epoch_is_augmented_anew(make_dataset):
    data = load_dataset(make_dataset(8), split="train", size=32, transform=Augmentation(1.0))
    assert not torch.equal(data[0][0], data[(0, 1)][0])
    assert torch.equal(data[0][0], data[(0, 0)][0])


def test_each_epoch_shuffles_anew_and_holds_whole_batches():
    sampler = EpochSampler(22, 5, seed=3)
    first = list(sampler)
    assert len(first) == len(set(first)) == len(sampler) == 20 and first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_sources_are_drawn_by_their_shares_and_every_epoch_anew():
    samples = [Sample(str(i), Path(), Path(), "train", "many" if i < 900 else "few") for i in range(1000)]
    weights = sampling_weights(samples, {"many": 0.25, "few": 0.75})
    sampler = EpochSampler(1000, 10, 0, weights)
    first = list(sampler)
    names = np.array([card[0] if isinstance(card, tuple) else card for card in first])
    assert len(first) == 1000 and 0.70 < np.mean(names >= 900) < 0.80 and first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)
    refused("no picture comes from none", sampling_weights, samples, {"none": 1.0})
