"""Every figure of speed that this project states, by one command: python tests/bench/bench.py

Writes tests/bench/RESULTS.md. A section that is measured again replaces itself there and leaves the others.

    python tests/bench/bench.py --only latency peers          # two sections
    python tests/bench/bench.py --photos FOLDER               # photographs (and masks) of your own
    python tests/bench/bench.py --quick --out quick.md        # does it still run? Figures mean nothing

Sections: training, loading, latency, peers. Each setting runs in a process of its own, so that threads and
peak memory are its own. On a busy machine milliseconds mean little: the load at the start of each section is
written beside it.

--photos: a folder with images/ (and masks/ for peers), or with such folders by kind; by default the embedded
    test pictures are used, brought to 640x480.
--peer-python: the Python of an environment with mediapipe's model file and ai-edge-litert, by default:
    cd tests/bench && python -m venv .venv
    .venv/bin/pip install numpy opencv-python-headless ai-edge-litert
    .venv/bin/pip install --no-deps mediapipe==0.10.21
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from segkit.data import Preprocessing, SegmentationDataset, find_samples
from segkit.files import embedded_path, read_image, read_mask
from segkit.losses import BCEDiceLoss
from segkit.matting.compose import cover, cutout, on_its_own
from segkit.metrics import boundary_f, dice_score
from segkit.models import build_model, count_parameters
from segkit.predict import Segmenter
from segkit.study.members import count_cores, in_own_process

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
WIDTH, HEIGHT = 640, 480
WEIGHTS = ("person-small", "person-base")
THREADS = (1, 2)
ENGINES = ["torch fp32", "torch half", "onnx fp32", "onnx int8"]
ENGINES += ["openvino fp32", "openvino half", "openvino int8"]


# --- common to all -------------------------------------------------------------------------------------


def processor() -> str:
    """The processor's name and what it can do of the things that matter here."""
    found = torch.cpu.get_capabilities()
    can = [name for name in ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16") if found.get(name)]
    return f"{found.get('cpu_name') or platform.machine()} ({', '.join(can)})"


def machine() -> str:
    return (
        f"{processor()}, {count_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__.split('+')[0]}"
    )


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def milliseconds(work: Callable, items: list, warm_up: int = 3) -> tuple[float, float]:
    """Median over the items of the time by the clock, and of processor time."""
    for item in items[:warm_up]:
        work(item)
    by_clock, busy = [], []
    for item in items:
        start, start_busy = time.perf_counter(), time.process_time()
        work(item)
        by_clock.append(1000 * (time.perf_counter() - start))
        busy.append(1000 * (time.process_time() - start_busy))
    return statistics.median_high(by_clock), statistics.median_high(busy)


def peak_megabytes() -> float:
    """The most memory that this process held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def find_photos(folder: str | None, count: int) -> list:
    """(kind, sample) for the first pictures of each kind that are to be measured."""
    root = Path(folder) if folder else embedded_path("people")
    if (root / "images").is_dir():
        samples = [sample for sample in find_samples(root) if folder or sample.split == "test"]
        return [("", sample) for sample in samples][:count]
    kinds = sorted(path for path in root.iterdir() if (path / "images").is_dir())
    if not kinds:
        raise SystemExit(f"'{root}' holds neither images/ nor folders with images/.")
    return [(kind.name, sample) for kind in kinds for sample in find_samples(kind)[:count]]


def read_photos(folder: str | None, count: int) -> list:
    """uint8 (480, 640, 3) each; as many as asked for, from all kinds in turn."""
    found = [sample for _, sample in find_photos(folder, count)]
    step = max(1, len(found) // count)
    return [cover(read_image(sample.image), HEIGHT, WIDTH) for sample in found[::step][:count]]


# --- training ------------------------------------------------------------------------------------------


def training(options) -> str:
    """Each recipe in a process of its own, all with the same threads."""
    settings = {"model": "unet-17m", "size": 256, "images": 48, "epochs": 3, "batch": 8}
    names, steps = ("monai BasicUNet", "unet-17m", "unet-13m"), 4
    if options.quick:
        settings = {"model": "unet", "size": 32, "images": 8, "epochs": 1, "batch": 4}
        names, steps = ("monai BasicUNet", "unet"), 1
    size, batch = settings["size"], settings["batch"]
    train = partial(task_train, **settings)
    results = {way: in_own_process(train, count_cores(), way) for way in ("plain", "segkit")}
    rows, base = [], results["plain"]["images_per_s"]
    for way, result in results.items():
        rate, loss, peak = result["images_per_s"], result["loss"], result["peak_mb"]
        name = f"{way}, {result['precision']}"
        rows.append([name, f"{rate:.2f}", f"{rate / base:.2f}", f"{loss:.4f}", f"{peak:.0f}"])
    first = table(["recipe", "images/s", "ratio", "last loss", "peak memory, MB"], rows)
    rows, base = [], None
    for name, precision in product(names, ("fp32", "bf16")):
        loop = partial(task_loop, precision=precision, size=size, batch=batch, steps=steps)
        result = in_own_process(loop, count_cores(), name)
        rate, millions = result["images_per_s"], result["parameters"] / 1e6
        base = base or rate
        rows.append([f"{name}, {precision}", f"{millions:.1f} M", f"{rate:.2f}", f"{rate / base:.2f}"])
    second = table(["", "parameters", "images/s", "ratio"], rows)
    count = settings["images"] // batch * batch * settings["epochs"]
    return (
        f"The same {settings['model']} from the same first weights, {size} x {size}, "
        f"batches of {batch}, {count} images each, {count_cores()} threads. The plain recipe decodes "
        "each picture in each epoch, works in float32 with channels first, and reads the loss and a metric "
        "back at every step. Filling segkit's cache is in its time; the few steps that choose its precision, "
        "once for a whole run, are not.\n\n"
        f"{first}\n\n"
        "Networks in one and the same loop, channels last, data in memory. BasicUNet has the features "
        f"(64, 128, 256, 512, 512, 64).\n\n{second}"
    )


def task_train(way: str, images: int, batch: int, epochs: int, **settings) -> dict:
    """images/s, loss (mean of the last epoch), precision, and the most memory held."""
    from train_speed import RECIPES

    samples = find_samples(embedded_path("people"))[:images]
    found = RECIPES[way](samples, batch=batch, epochs=epochs, **settings)
    count = len(samples) // batch * batch * epochs
    return found | {"images_per_s": count / found.pop("seconds"), "peak_mb": peak_megabytes()}


def task_loop(name: str, precision: str, size: int, batch: int, steps: int) -> dict:
    """images/s of forward, loss, backward and step, on one batch that stays in memory."""
    torch.manual_seed(0)
    if name == "monai BasicUNet":
        from monai.networks.nets import BasicUNet

        features = (64, 128, 256, 512, 512, 64) if size > 64 else (8, 16, 32, 64, 64, 8)
        model = BasicUNet(spatial_dims=2, in_channels=3, out_channels=1, features=features)
    else:
        model = build_model(name)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    masks = (torch.rand(batch, 1, size, size) > 0.7).float()
    loss_fn, optimizer = BCEDiceLoss(), torch.optim.Adam(model.parameters(), lr=1e-4)
    for step in range(steps + 1):
        if step == 1:  # the first one warms up
            started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        loss_fn(logits.float(), masks).backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - started
    return {"images_per_s": batch * steps / seconds, "parameters": count_parameters(model)}


# --- loading -------------------------------------------------------------------------------------------


def loading(options) -> str:
    rows, base = [], None
    for cache in ("none", "memory", "disk"):
        for augment, workers in ((0, 0),) if options.quick else ((0, 0), (0, 2), (1, 0), (1, 2)):
            limit = 8 if options.quick else 200
            load = partial(task_load, augment=augment, workers=workers, limit=limit)
            rate = in_own_process(load, 1, cache)
            base = base or rate
            name = f"{cache}{', augmented' if augment else ''}"
            rows.append([name, workers, f"{rate:.0f}", f"{rate / base:.1f}"])
    return "Pictures and masks to 256 x 256, batches of 16, the cache filled before.\n\n" + table(
        ["cache", "workers", "images/s", "ratio"], rows
    )


def task_load(cache: str, augment: int, workers: int, limit: int) -> float:
    from segkit.augment import Augmentation

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEGKIT_DATA"] = folder
        samples = find_samples(embedded_path("people"))[:limit]
        transform = Augmentation() if augment else None
        dataset = SegmentationDataset(samples, Preprocessing(256), transform, cache)
        loader = DataLoader(dataset, 16, num_workers=workers, persistent_workers=workers > 0)
        next(iter(loader))  # starts the workers
        started = time.perf_counter()
        count = sum(len(images) for images, _ in loader)
        return count / (time.perf_counter() - started)


# --- latency -------------------------------------------------------------------------------------------


def latency(options) -> str:
    parts = []
    columns = {"model_ms": "network, ms", "mask_ms": "photo to mask, ms"}
    columns |= {"mask_busy_ms": "of it processor time", "cutout_ms": "photo to cut-out, ms"}
    head = ["engine", "threads", *columns.values()]
    head += ["times torch", "images/s in batches of 8", "peak memory, MB"]
    for weights in WEIGHTS[: 1 if options.quick else None]:
        rows, base = [], {}
        for name in ENGINES[: 1 if options.quick else None]:
            engine, precision = name.split()
            for count in THREADS[: 1 if options.quick else None]:
                how = {"engine": engine, "precision": precision, "threads": count}
                predict = partial(task_predict, **how, photos=options.photos, count=options.count)
                result = in_own_process(predict, count, weights)
                faster = base.setdefault(count, result["mask_ms"]) / result["mask_ms"]
                times = [f"{result[key]:.1f}" for key in columns]
                rate, peak = f"{result['images_per_s']:.1f}", f"{result['peak_mb']:.0f}"
                rows.append([f"{engine}, {precision}", count, *times, f"{faster:.2f}", rate, peak])
        name = f"**{weights}**, network at {result['size']} x {result['size']}"
        parts.append(f"{name}\n\n{table(head, rows)}")
    return (
        f"Medians over {options.count} photographs of {WIDTH} x {HEIGHT}, decoded already. *Network*: small "
        "picture in, probability out. *Photo to mask*: resize, network, resize back, threshold. *Cut-out*: "
        "with edges refined along the photograph and colours cleaned.\n\n" + "\n\n".join(parts)
    )


def task_predict(weights: str, engine: str, precision: str, photos, count: int, threads: int) -> dict:
    cv2.setNumThreads(threads)
    person = Segmenter.load(weights, "cpu", engine, precision, threads)
    images = read_photos(photos, count)
    small = [person.preprocessing.resize(image)[None] for image in images]
    found = {"size": person.preprocessing.size}
    found["model_ms"], _ = milliseconds(person._probabilities, small)
    found["mask_ms"], found["mask_busy_ms"] = milliseconds(lambda i: person(i) > person.threshold, images)
    batches = [images[i : i + 8] for i in range(0, len(images), 8)][: max(1, len(images) // 8)]
    person.predict_batch(batches[0])
    started = time.perf_counter()
    for batch in batches:
        person.predict_batch(batch)
    found["images_per_s"] = sum(map(len, batches)) / (time.perf_counter() - started)
    found["peak_mb"] = peak_megabytes()  # before the cut-outs, which need memory of their own
    few = images[: max(1, len(images) // 3)]
    found["cutout_ms"], _ = milliseconds(
        lambda i: cutout(*on_its_own(i, np.asarray(person(i)), person.threshold)), few, warm_up=1
    )
    return found


# --- peers ---------------------------------------------------------------------------------------------


def peers(options) -> str:
    """Ours and MediaPipe's selfie segmenter on the same photographs, at each photograph's own size."""
    found = find_photos(options.photos, options.count)
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    pairs = [[kind, str(sample.image), str(sample.mask)] for kind, sample in found]
    engine = ["torch", "fp32"] if options.quick else ["openvino", "half"]
    threads = THREADS[0 if options.quick else 1]
    task = partial(task_score, engine=engine, pairs=pairs, threads=threads)
    ways = {
        f"{name}, {', '.join(engine)}": in_own_process(task, threads, name)
        for name in WEIGHTS[: 1 if options.quick else None]
    }
    note = ""
    if runs_mediapipe(options.peer_python):
        models = {"landscape": "selfie_segmentation_landscape", "general": "selfie_segmentation"}
        for name, model in models.items():
            ways[f"MediaPipe selfie, {name}"] = peer_scores(options.peer_python, model, pairs, threads)
    else:
        note = (
            "\n\nMediaPipe was not measured: no environment with `mediapipe` and `ai-edge-litert` was found. "
            "How to make one stands in tests/bench/bench.py."
        )
    rows, last = [], list(ways.values())[-1]["ms"]
    for name, result in ways.items():
        scores = [result["kinds"][kind] for kind in kinds]
        mean = sum(dice for dice, _ in scores) / len(scores)
        each = [f"{dice:.3f} ({edges:.2f})" for dice, edges in scores]
        rows.append([name, *each, f"{mean:.3f}", f"{result['ms']:.1f}", f"{result['ms'] / last:.2f}"])
    head = ["mean Dice (boundary F at 2 px)"]
    head += [f"{kind or 'all'} ({sum(k == kind for k, _ in found)})" for kind in kinds]
    head += ["mean of kinds", "photo to mask, ms", f"ratio to {rows[-1][0]}"]
    where = "photographs" if options.photos else "rendered test pictures"
    return (
        f"{len(found)} {where}, threshold 0.5 for MediaPipe and each checkpoint's own for ours, at the "
        f"picture's own size. Milliseconds are medians over the same pictures brought to {WIDTH} x {HEIGHT}, "
        f"{threads} threads, without decoding: resize, network, resize back, threshold.\n\n"
        f"{table(head, rows)}{note}"
    )


def runs_mediapipe(python: str) -> bool:
    code = "import numpy, cv2, ai_edge_litert, importlib.util as u; assert u.find_spec('mediapipe')"
    return bool(shutil.which(python)) and subprocess.run([python, "-c", code]).returncode == 0


def peer_scores(python: str, model: str, pairs: list, threads: int) -> dict:
    """Masks and times from the other environment, scored here by the same code as ours."""
    with tempfile.TemporaryDirectory() as folder:
        images = [image for _, image, _ in pairs]
        job = {"model": model, "images": images, "size": [WIDTH, HEIGHT], "out": folder, "threads": threads}
        command = [python, HERE / "mediapipe_masks.py"]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"MediaPipe's model failed:\n{done.stderr}")
        times = json.loads(done.stdout.splitlines()[-1])
        masks = [np.load(Path(folder) / f"{i}.npy") for i in range(len(pairs))]
    return {"kinds": score(pairs, masks), "ms": statistics.median_high(times)}


def task_score(weights: str, engine: list[str], pairs: list, threads: int) -> dict:
    cv2.setNumThreads(threads)
    person = Segmenter.load(weights, "cpu", *engine, threads=threads)
    photos = [read_image(image) for _, image, _ in pairs]
    masks = [person(photo) > person.threshold for photo in photos]
    small = [cv2.resize(photo, (WIDTH, HEIGHT)) for photo in photos]
    ms, _ = milliseconds(lambda photo: person(photo) > person.threshold, small, warm_up=0)
    return {"kinds": score(pairs, masks), "ms": ms}


def score(pairs: list, masks: list) -> dict:
    """Mean Dice and boundary F of each kind."""
    found: dict[str, list] = {}
    for (kind, _, path), mask in zip(pairs, masks, strict=True):
        pred, true = mask[None], read_mask(path)[None]
        found.setdefault(kind, []).append((dice_score(pred, true).item(), boundary_f(pred, true).item()))
    return {kind: tuple(np.mean(values, axis=0).tolist()) for kind, values in found.items()}


# --- the file ------------------------------------------------------------------------------------------

TITLES = {
    "training": "Training",
    "loading": "Data loading",
    "latency": "Inference: latency, throughput and memory",
    "peers": "Beside MediaPipe",
}


def write_section(path: Path, name: str, text: str) -> None:
    """Replace one section of the results, or add it in its place."""
    old = path.read_text() if path.exists() else ""
    found = dict(re.findall(r"(?s)<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", old))
    found[name] = text
    head = (
        "# Measured speed\n\nWritten by `make bench` (tests/bench/bench.py); nothing here is typed by hand."
    )
    parts = [f"<!-- {key} -->\n{found[key]}\n<!-- /{key} -->" for key in TITLES if key in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([head, *parts]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TITLES, default=TITLES, metavar="SECTION")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, to see that everything runs")
    parser.add_argument("--photos", help="photographs for latency and peers")
    parser.add_argument("--count", type=int, default=50, help="for latency, and of each kind for peers")
    parser.add_argument("--peer-python", default=str(HERE / ".venv/bin/python"), help="see above")
    options = parser.parse_args()
    for name in options.only:
        print(f"{TITLES[name]} ...", flush=True)
        load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
        text = globals()[name](options)
        where = f"*{time.strftime('%Y-%m-%d')}; {machine()}; load at the start {load}.*"
        write_section(options.out, name, f"## {TITLES[name]}\n\n{where}\n\n{text}")
    print(options.out)


if __name__ == "__main__":
    main()
