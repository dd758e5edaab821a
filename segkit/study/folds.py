"""Small sets scored by cross-validation: no picture is judged by a network that saw it. Notebook 15."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from segkit.checkpoint import load_checkpoint, save_checkpoint
from segkit.data import find_samples
from segkit.evaluate import Evaluation, evaluate, write_evaluation
from segkit.files import UserError, write_text
from segkit.metrics import Counts
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.sets.groups import (
    deal_folds,
    join_groups,
    near_duplicates,
    person_shares,
    series_leak,
    thumbnails,
    write_splits,
)
from segkit.study.members import count_cores, in_own_process, run_members
from segkit.train import Recipe, TrainConfig, train
from segkit.training.runs import ResumeState, check_run_folder


@dataclass
class CrossValidation:
    """What the folds say together."""

    folder: Path
    result: Evaluation
    """Of all pictures, each by the network of the fold that held it out."""
    files: list[Path]

    def __str__(self) -> str:
        lines = [f"{len(self.result.samples)} pictures, each scored by a network that never saw it"]
        lines += [self.result.table(), *map(str, self.files)]
        return "\n".join([*lines, f"the folds' mean, as one network: {self.folder / 'best.safetensors'}"])


def cross_validate(
    folders: Sequence[str | Path],
    out: str | Path,
    folds: int = 5,
    recipe: Recipe | None = None,
    config: TrainConfig | None = None,
    resume: bool = False,
    parallel: int = 1,
) -> CrossValidation:
    """Train once for each part of a data set, and score each part by the network that was not shown it.

    All pictures take part, whatever splits.csv says. Of `folds` parts of like size, with whole groups in
    each, one is scored, the next chooses the best epoch, the others are trained on.
    out: gets cv.json, fold1/, fold2/, ..., per_image.csv, worst.png, and best.safetensors, which averages the
        folds and is read by Segmenter.load(out).
    resume: go on with the folds of that folder.   parallel: so many folds at a time, each in a process of
        its own. One that fails stops no other.
    Returns: CrossValidation.   Raises: UserError, also when a fold failed.   Stone (1974).
    """
    recipe, config, out = recipe or Recipe(), config or TrainConfig(), Path(out)
    if len(folders) != 1:
        raise UserError(
            f"cross-validation takes one data set, found {len(folders)}: put the pictures together."
        )
    folder, record = Path(folders[0]), out / "cv.json"
    samples = find_samples(folder, labels=recipe.labels, splits=recipe.splits)
    groups = {sample.name: sample.group for sample in samples}
    groups = join_groups(groups, near_duplicates(thumbnails({s.name: s.image for s in samples})))
    parts = deal_folds(groups, person_shares(folder, list(groups)), folds, config.seed)
    content = {"data": [str(folder.resolve())], "folds": folds, "config": asdict(recipe) | asdict(config)}
    content["parts"] = parts  # other pictures are dealt otherwise: a fold would be scored on what it has seen
    cure = f"segkit data split {folder}" + " --overwrite" * (folder / "splits.csv").exists()
    if all(s.group == s.name for s in samples) and (said := series_leak(parts, cure)):
        content["leaks"] = [said]
        print(f"leak: {said}")
    if not record.exists():
        if (out / "config.json").exists():
            raise UserError(
                f"'{out}' is a run without folds: go on without --folds, or choose another folder."
            )
        check_run_folder(out, resume=False)
    elif not resume:
        raise UserError(f"'{out}' holds a cross-validation: choose another folder, or go on by --resume.")
    elif json.loads(record.read_text()) != json.loads(json.dumps(content)):
        raise UserError(
            f"folds of one cross-validation are alike: resume '{out}' with the settings and pictures it has."
        )
    write_text(record, json.dumps(content, indent=2) + "\n")
    recipes = {}
    for number in range(folds):
        where = {number: "test", (number + 1) % folds: "val"}
        splits = {name: where.get(part, "train") for name, part in parts.items()}
        table = write_splits(out / f"fold{number + 1}", splits, groups, overwrite=True)
        recipes[f"fold{number + 1}"] = replace(recipe, splits=str(table))
        counts = ", ".join(f"{count} {split}" for split, count in Counter(splits.values()).items())
        print(f"fold {number + 1} of {folds}: {counts}")
    judged, persons = {}, {}

    def judge(fold: str, *_) -> None:
        person = Segmenter.load(out / fold)
        judged[fold] = evaluate(person, folder, "test", splits=recipes[fold].splits)
        persons.update({sample.name: person for sample in judged[fold].samples})
        write_evaluation(judged[fold], person, out / fold)  # the last that a fold writes

    job = partial(_train_fold, folder, config)
    if parallel > 1:
        job = partial(in_own_process, job, max(1, count_cores() // parallel))
    skipped, failed = run_members(
        recipes, job, lambda fold: (out / fold / "per_image.csv").exists(), judge, parallel
    )
    if failed:
        fold, reason = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of {folds} folds failed; the others are kept in '{out}', and --resume goes on "
            f"with these. {fold}: {reason}"
        )
    for fold in skipped:
        judge(fold)
    results = [judged[fold] for fold in recipes]
    result = Evaluation(
        [sample for result in results for sample in result.samples],
        Counts.cat([result.counts for result in results]),
        torch.cat([torch.as_tensor(result.boundary_f) for result in results]).numpy(),
        results[0].classes,
        no_folds=True,
    )
    _write_mean(out, [out / fold for fold in recipes], result)
    return CrossValidation(out, result, write_evaluation(result, persons, out))


def _train_fold(folder: Path, config: TrainConfig, recipe: Recipe) -> None:
    """Train the fold in whose folder the recipe's splits lie, or go on with it."""
    place = Path(recipe.splits).parent
    train([folder], place, recipe, config, resume=ResumeState.path(place).exists())


def _write_mean(out: Path, places: Sequence[Path], result: Evaluation) -> None:
    """The networks of the folds in one checkpoint, whose probability is the mean of theirs."""
    networks, infos = zip(*(load_checkpoint(place / "best.safetensors") for place in places), strict=True)
    mean = build_model("ensemble", members=[info.model for info in infos])
    for member, network in zip(mean.members, networks, strict=True):
        member.load_state_dict(network.state_dict())
    dice = round(float(result.scores("dice").mean()), 4)
    scores = {"split": "out of fold", "images": len(result.samples), "dice": dice}
    trained_on = ({"name": infos[0].trained_on[0]["name"], "images": len(result.samples)},)
    info = replace(infos[0], model=mean.built_as, scores=scores, trained_on=trained_on)
    save_checkpoint(out / "best.safetensors", mean, info)
