"""One epoch of 5,000 images at 256x256 with the 17.3-million-parameter U-Net, on a GPU.

    python tests/bench/gpu_epoch.py                       # what is written down as the target: at most 10 s
    python tests/bench/gpu_epoch.py --device cpu --images 8 --size 64 --batch 4 --model unet   # a dry run

bf16, channels last, torch.compile on a card, the whole set as uint8 there (1.3 GB with masks), flips and the
mixing of the order done there, and no number read back before the epoch ends. Beside seconds and images/s it
prints what share of the card's bf16 peak that is: the multiplications and additions of the convolutions,
forward and backward, per second, over what the maker states for dense bf16.
"""

import argparse
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from segkit.data import Preprocessing
from segkit.losses import BCEDiceLoss
from segkit.models import build_model, count_parameters

# Dense bf16, in 10^12 operations per second, from the makers' data sheets.
PEAKS = {
    "H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10": 125,
    "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip


def peak_of(name: str) -> float | None:
    """Operations per second of a card by its name, where it is known."""
    return next((peak * 1e12 for card, peak in PEAKS.items() if card in name), None)


def operations_per_image(model: torch.nn.Module, size: int) -> int:
    """Floating point operations of one image, forward and backward, counted on shapes alone."""
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size, device=device)).sum().backward()
    model.zero_grad()
    return counter.get_total_flops()


def flipped(images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror a random half of the batch, pictures and masks alike."""
    which = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(which, images.flip(3), images), torch.where(which, masks.flip(3), masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else None)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3, help="measured, after one that warms up")
    parser.add_argument("--model", default="unet-17m")
    args = parser.parse_args()
    if args.device is None:
        raise SystemExit(
            "there is no GPU here. A dry run: --device cpu --images 8 --size 64 --batch 4 --model unet"
        )
    device = torch.device(args.device)
    on_gpu = device.type == "cuda"
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True

    # Noise takes as long as photographs do.
    images = torch.randint(0, 256, (args.images, 3, args.size, args.size), dtype=torch.uint8, device=device)
    masks = (torch.rand(args.images, 1, args.size, args.size, device=device) > 0.8).to(torch.uint8)
    model = build_model(args.model).to(device, memory_format=torch.channels_last)
    operations = operations_per_image(model, args.size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=on_gpu)
    loss_fn, prep = BCEDiceLoss(), Preprocessing(args.size)

    def step(batch_images: torch.Tensor, batch_masks: torch.Tensor) -> torch.Tensor:
        x, y = flipped(batch_images, batch_masks)
        x = prep.normalise(x).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(x)
        return loss_fn(logits.float(), y.float())

    if on_gpu:
        step = torch.compile(step)

    def epoch() -> tuple[float, float]:
        """Seconds, and the mean loss; to read it back waits for the card."""
        total, count = torch.zeros((), device=device), args.images // args.batch
        started = time.perf_counter()
        for chosen in torch.randperm(args.images, device=device)[: count * args.batch].split(args.batch):
            loss = step(images[chosen], masks[chosen])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        mean = (total / count).item()
        return time.perf_counter() - started, mean

    name = torch.cuda.get_device_name(device) if on_gpu else "processor"
    print(
        f"{name}, torch {torch.__version__}; {args.model}, {count_parameters(model) / 1e6:.1f} M parameters"
    )
    print("warm-up epoch (compiling and choosing kernels): {:.1f} s, loss {:.4f}".format(*epoch()))
    times, losses = zip(*(epoch() for _ in range(args.epochs)), strict=True)
    seconds, trained = sorted(times)[len(times) // 2], args.images // args.batch * args.batch
    rate = trained / seconds * operations
    print(f"one epoch of {trained:,} images at {args.size}x{args.size}: {seconds:.2f} s, "
          f"{trained / seconds:,.0f} images/s, loss {losses[-1]:.4f}")  # fmt: skip
    peak = peak_of(name)
    share = f"{rate / peak:.0%} of the {peak / 1e12:.0f} of its bf16 peak" if peak else "peak of it not known"
    print(f"{operations / 1e9:.1f} GFLOP per image, {rate / 1e12:.3f} TFLOP/s: {share}")
    if on_gpu:
        print(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
