"""Which pictures an epoch shows, and in which order."""

from collections import Counter
from itertools import chain

import torch
from torch import Tensor
from torch.utils.data import Sampler

from segkit.data import Sample
from segkit.files import UserError


class EpochSampler(Sampler):
    """The order of one epoch: a shuffle that depends on seed and epoch alone, cut to whole batches.

    weights: (length,), how often each is drawn; then an epoch of the same length draws with repetition.
    steps: batches of an epoch. The pictures are then dealt from a shuffled deck that goes on from epoch to
        epoch and is shuffled again when it is used up. A picture that comes again within an epoch comes as
        (index, how often it came before), for which SegmentationDataset draws another augmentation.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, weights: Tensor | None = None, steps: int | None = None
    ):
        self.length, self.seed, self.epoch, self.weights, self.steps = length, seed, 0, weights, steps
        self.count = steps * batch_size if steps else length - length % batch_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        if self.weights is not None:
            generator = self._generator(self.epoch)
            order = torch.multinomial(self.weights, self.count, True, generator=generator).tolist()
        else:
            start = self.epoch * (self.count if self.steps else self.length)
            decks = range(start // self.length, (start + self.count - 1) // self.length + 1)
            cards = chain.from_iterable(
                torch.randperm(self.length, generator=self._generator(deck)).tolist() for deck in decks
            )
            order = list(cards)[start % self.length :][: self.count]
        before = Counter()
        for index in order:
            yield (index, before[index]) if before[index] else index
            before[index] += 1

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + number)


def sampling_weights(samples: list[Sample], shares: dict[str, float]) -> Tensor:
    """How often to draw each sample, (N,), so that each source has its share.   Raises: UserError."""
    counts = Counter(sample.source for sample in samples)
    if missing := sorted(set(shares) - set(counts)):
        raise UserError(
            f"no picture comes from {', '.join(missing)}: the sources are {', '.join(sorted(counts))}."
        )
    return torch.tensor([shares.get(s.source, 0) / counts[s.source] for s in samples], dtype=torch.float64)
