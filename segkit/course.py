"""`segkit course`: what the course holds so far, end to end, on the embedded pictures."""

import time
from pathlib import Path

from segkit.doctor import check_environment, inspect_dataset, picture_of_dataset
from segkit.evaluate import evaluate, write_evaluation
from segkit.files import UserError, embedded_path, list_images
from segkit.plots import save_figure
from segkit.predict import Segmenter, predict_files
from segkit.train import TrainConfig, train


def run_course(data: Path | None = None, out: Path = Path("runs"), config: TrainConfig | None = None) -> Path:
    """Check the data, train a U-Net, score it on pictures it never saw, cut people out.

    data: a folder in the format of segkit.data; None takes the embedded set.
    Returns: the folder that now holds everything.   Raises: UserError.
    """
    data = data or embedded_path("people")
    out = out / time.strftime("course-%Y%m%d-%H%M%S")
    text, healthy = check_environment()
    print(f"1/5  this machine\n{text}\n")
    if not healthy:
        raise UserError("something this machine needs is missing: see the lines with [FAIL] above.")

    print("2/5  the data")
    report = inspect_dataset(data)
    print(report.text(), "\n")
    save_figure(picture_of_dataset(report), out / "data.png")
    if not report.healthy:
        raise UserError(f"the data set '{data}' has errors: see above.")

    print("3/5  training a U-Net (Ctrl-C stops it)")
    run = train([data], out / "train", config or TrainConfig(size=128, num_epochs=12))
    print(f"best validation Dice {run.best_dice:.3f} in epoch {run.best_epoch}\n")

    print("4/5  scoring it on the test split, which it never saw")
    person = Segmenter.load(run.checkpoint)
    result = evaluate(person, data, "test")
    write_evaluation(result, person, out / "evaluate")
    print(result.table(), "\n")

    print("5/5  cutting people out")
    test_names = {sample.name for sample in result.samples}
    photos = [p for p in list_images(data / "images") if p.stem in test_names][:12]
    predict_files(person, photos, out / "predict", ("mask", "overlay", "cutout"))

    print(f"\nDone. Everything is in {out}. Look at:")
    for picture, what in {
        "data.png": "the pictures and their masks",
        "train/curves.png": "how the training went",
        "evaluate/worst.png": "where the network is still wrong",
        "predict": "overlays and cut-outs of pictures it never saw",
    }.items():
        print(f"  {out / picture}  - {what}")
    return out
