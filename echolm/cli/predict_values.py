"""``echolm predict`` of runs of regression and classification: values, and classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import print_json
from echolm.cli.predict_rows import plain_training, predict_rows
from echolm.progress import ProgressBar
from echolm.text import counted, printable

if TYPE_CHECKING:
    from echolm.cli.predict_attention import AttentionRequest
    from echolm.predict.folder import Ends
    from echolm.predict.pictures import Joined, PredictItem
    from echolm.predict.value_folder import ValueRow
    from echolm.predict.values import ValuePrediction, ValuePredictor

DEFAULT_OUT = Path("predictions")
JOINED = ("file", "study", "folder")
"""Which still pictures are one item, as ``echolm.predict.pictures`` has it."""


def check_value_usage(
    predictor: ValuePredictor,
    clip: Path,
    phases_given: bool,
    out: Path | None,
    video: Path | None,
    pictures: Joined | None,
) -> None:
    """Refuse options that have no meaning for a run of values or classes."""
    if pictures and predictor.needs_phases:
        raise click.UsageError(
            f"--pictures: run {predictor.run} was trained on clips from ED to ES, and sees no "
            "still pictures"
        )
    if video:
        raise click.UsageError(f"--video draws contours; run {predictor.run} predicts none")
    if out and not clip.is_dir():
        raise click.UsageError(
            "--out is for a folder; what is predicted of one clip is printed, and with --json as "
            "JSON"
        )
    if phases_given and not predictor.needs_phases:
        raise click.UsageError(
            f"--ed, --es and --tracings: run {predictor.run} sees the whole file "
            f"(clip {predictor.config.clip.name}), and needs neither frame"
        )
    if clip.is_dir() and predictor.needs_phases and not phases_given:
        raise click.UsageError(
            f"run {predictor.run} was trained on clips from ED to ES, which only contours could "
            "find; add --tracings"
        )


def predict_file(
    predictor: ValuePredictor,
    clip: Path,
    ed: int | None,
    es: int | None,
    as_json: bool,
    attention: AttentionRequest | None = None,
) -> None:
    """Predict one clip, and print what was found. Attention is that of its first pass."""
    with ProgressBar(clip.name, "passes") as bar:
        predictor.report_progress(bar.advance)
        prediction = predictor(clip, ed, es)
    looked_at = None
    if attention:
        looked_at = attention.draw(predictor.network, clip, prediction.frames[0], as_json)
    if as_json:
        plain = _plain(clip, prediction)
        plain["attention"] = looked_at
        plain["run"] = predictor.run
        plain["trained_on"] = plain_training(predictor.trained_on)
        print_json(plain)
        return
    click.echo(f"{printable(str(clip))}: {prediction.text}")
    click.echo(_seen(prediction))
    click.echo(f"run {predictor.run}: {predictor.trained_on.sentence}")
    if predictor.joined == "study" and prediction.frames_held == 1:
        click.echo(
            f"warning: one picture, and {predictor.trained_on.dataset} has studies of many: give "
            "the folder of a study's pictures",
            err=True,
        )
    if prediction.warning:
        click.echo(f"warning: {prediction.warning}", err=True)


def _seen(prediction: ValuePrediction) -> str:
    """Say which frames were seen."""
    passes, length = len(prediction.frames), len(prediction.frames[0])
    clips = "from a clip" if passes == 1 else f"mean of {passes} clips"
    return f"{clips} of {counted(length, 'frame')}; the file holds {prediction.frames_held}"


def _plain(clip: Path, prediction: ValuePrediction) -> dict[str, Any]:
    """Return plain values for JSON. A number that is not one is null."""
    value = prediction.value
    is_number = value is not None and math.isfinite(value)
    return {
        "clip": str(clip),
        "target": prediction.target,
        "value": value if is_number else None,
        "unit": prediction.unit,
        "class": prediction.most_likely or None,
        "probabilities": dict(prediction.probabilities),
        "frames": [list(numbers) for numbers in prediction.frames],
        "warning": prediction.warning,
    }


def predict_folder(
    predictor: ValuePredictor,
    folder: Path,
    out: Path,
    ends: Ends,
    overwrite: bool,
    pictures: Joined | None,
    as_json: bool,
) -> int:
    """Predict a folder's clips with a progress bar on a terminal. Return the exit status.

    Args:
        predictor: of the run.
        folder: where clips are searched.
        out: where the table is.
        ends: ED and ES of a clip, where the run needs them.
        overwrite: whether to predict again what is there.
        pictures: which still pictures are one item. None: those that were in the run's data.
        as_json: whether to print JSON.
    """
    from echolm.predict.find_clips import find_clips
    from echolm.predict.pictures import items_of
    from echolm.predict.value_folder import ValueFolder

    files = find_clips(folder, out, stills=not predictor.needs_phases)
    joined = pictures or predictor.joined
    items = items_of(files.clips, folder, joined)
    target = ValueFolder(predictor, folder, out, ends, overwrite)
    noun = "items" if len(items) < len(files.clips) else "clips"
    rows = target.predict(items)
    done = predict_rows(rows, len(items), noun, folder, files, target.table)
    if as_json:
        print_json({**done.document(files, predictor.trained_on), "pictures": joined})
    else:
        click.echo(done.line)
        _print_values(done.rows)
        for line in _about_pictures(items, joined, chosen=pictures is not None):
            click.echo(line)
        click.echo(f"run {predictor.run}: {predictor.trained_on.sentence}")
    return done.status


def _about_pictures(items: Sequence[PredictItem], joined: Joined, chosen: bool) -> Iterator[str]:
    """Say which still pictures were taken as one item, where there are any."""
    from echolm.predict.find_clips import STILLS

    of_pictures = [item for item in items if item.files[0].suffix.lower() in STILLS]
    files = sum(len(item.files) for item in of_pictures)
    if not files:
        return
    others = " and ".join(f"--pictures {word}" for word in JOINED if word != joined)
    if joined == "file":
        line = f"{counted(files, 'still picture')}, each taken by itself"
    else:
        items_text = counted(len(of_pictures), "item")
        line = f"{counted(files, 'still picture')} are {items_text}: those of a {joined} are one"
    if not chosen:
        line += f", as in the data of the run; {others} take them otherwise"
    yield line


def _print_values(rows: list[ValueRow]) -> None:
    """Print the range of the values, or how often each class is the most likely."""
    values = [row.value for row in rows if row.value is not None]
    if values:
        name = f"{rows[0].target} in {rows[0].unit}" if rows[0].unit else rows[0].target
        click.echo(f"{name}: {min(values):.1f} to {max(values):.1f}")
    classes = Counter(row.most_likely for row in rows if row.most_likely)
    if classes:
        shares = ", ".join(f"{name} {number}" for name, number in classes.most_common())
        click.echo(f"{rows[0].target}: {shares}")
