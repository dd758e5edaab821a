"""What one training step adds to the memory of a process: the dots of lesson 07's picture.

python notebooks/studies/07_memory.py     writes 07_memory.csv; about two minutes on one core

Each row is a process of its own, which takes one step and asks the system for its largest resident memory
before and after. Beside it, what the forward pass keeps for the backward pass, counted inside PyTorch.
"""

import csv
import resource
import subprocess
import sys
from pathlib import Path

import torch

from segkit import build_model
from segkit.losses import BCEDiceLoss

BATCHES = [(batch, 128) for batch in (4, 8, 16, 32)]
SIZES = [(8, size) for size in (64, 192, 256)]


def resident() -> int:
    """Bytes at the most so far; the system counts in KB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def one_step(batch: int, size: int) -> tuple[int, int]:
    """Bytes kept for the backward pass, and by how many the process grew."""
    torch.set_num_threads(1)
    net, loss_fn = build_model("unet", 16).to(memory_format=torch.channels_last), BCEDiceLoss()
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    masks, kept = torch.zeros(batch, 1, size, size), {}
    loss_fn(net(images[:1, :, :32, :32]), masks[:1, :, :32, :32]).backward()  # loads what a first step loads

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    before = resident()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = loss_fn(net(images), masks)
    loss.backward()
    return sum(kept.values()), resident() - before


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*one_step(*map(int, sys.argv[1:])))
        sys.exit()
    rows = []
    for batch, size in BATCHES + SIZES:
        command = [sys.executable, __file__, str(batch), str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        kept, grown = map(int, done.stdout.split())
        rows.append({"batch": batch, "size": size, "kept": kept, "grown": grown})
        print(rows[-1], flush=True)
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
