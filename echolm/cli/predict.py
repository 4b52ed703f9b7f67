"""``echolm predict``: what a complete run says of a clip, or of a folder of clips."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.complete import complete_cell
from echolm.cli.options import as_json, check_device, device, print_json
from echolm.cli.predict_attention import AttentionRequest
from echolm.cli.predict_reconstruction import DEFAULT_OUT as RECONSTRUCTION
from echolm.cli.predict_reconstruction import check_reconstruction_usage, reconstruct_file
from echolm.cli.predict_rows import plain_training, predict_rows
from echolm.cli.predict_values import (
    DEFAULT_OUT,
    JOINED,
    check_value_usage,
    predict_file,
    predict_folder,
)
from echolm.progress import ProgressBar
from echolm.text import counted
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.predict.contour_video import TracedFrame
    from echolm.predict.contours import ContourPrediction, ContourPredictor
    from echolm.predict.folder import FileRow
    from echolm.predict.pictures import Joined


@click.command()
@click.argument("run", shell_complete=complete_cell)
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--ed",
    type=click.IntRange(0),
    help="Frame number of end-diastole, from 0.  [default: estimated]",
)
@click.option(
    "--es",
    type=click.IntRange(0),
    help="Frame number of end-systole, from 0.  [default: estimated]",
)
@click.option(
    "--tracings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A VolumeTracings.csv: clips that it traces get its frames.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Picture to write, or folder.  [default: contours.png, or contours]",
)
@click.option(
    "--video",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Contour video to write: .mp4, .avi or .gif.",
)
@click.option(
    "--attention",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Picture to write: where the encoder looks, on the frames.",
)
@click.option(
    "--pictures",
    type=click.Choice(JOINED),
    help="Still pictures of a folder that are one item: each FILE, those of a STUDY (STUDY_N.png),"
    " or of a FOLDER.  [default: as in the run's data]",
)
@click.option("--overwrite", is_flag=True, help="In a folder: predict again what is there.")
@device("cpu")
@as_json
@click.pass_obj
def predict(
    workspace: Workspace,
    run: str,
    clip: Path,
    ed: int | None,
    es: int | None,
    tracings: Path | None,
    out: Path | None,
    video: Path | None,
    attention: Path | None,
    pictures: Joined | None,
    overwrite: bool,
    device: str,
    as_json: bool,
) -> None:
    """Predict clips by a run: LV contours, values or classes.

    RUN is a complete run: a cell's id, the start of one, or a record folder. CLIP is a DICOM,
    NIfTI, MetaImage, PNG or JPEG file or a video (AVI, MP4, and others that FFmpeg decodes), or a
    folder of them. For research, not for clinical use. What the run was trained on is said beside
    every prediction.

    A run of regression or classification sees the frames that its clip says, most often of the
    whole file. Its value, or its classes with their probabilities, is printed. A folder gives
    predictions.csv in the folder --out (default: predictions), with a row a file. Where the run's
    data has studies of still pictures (TMED-2), the pictures of a study are one item with one row.

    A pretraining run draws original, masked and reconstructed frames of one file (default --out:
    reconstruction.png).

    --attention draws the frames that the network sees, and over them how much its class token takes
    of each place, by attention rollout through all blocks of the encoder. Encoders without a class
    token have a token drawn by the file's name, whose place is framed. It takes most from itself
    often, so the other places are drawn once more alone. It is of encoders whose blocks attend to
    all tokens, with any fusion and head.

    All that follows is about runs of landmarks, which draw contours.

    Without --ed and --es both frames are estimated, with one of them the other: the frames of
    largest (ED) and smallest (ES) predicted area, at most one second apart. The network reads every
    candidate frame in three short clips, as first, last and only frame. Its area is the mean of
    these readings, and the agreement tells how far they point to the same frames (100 %: all do).
    The frames that are found are printed as estimated.

    The video holds the frames from ED to ES, ten a second, and no others. Each contour is from a
    forward pass of its own in which that frame is an end of the clip: frames nearer to ED take the
    ED contour of the clip from there to ES, the others the ES contour of the clip from ED to there.
    Nothing is interpolated.

    A folder's clips, and those of the folders in it, give a picture each and predictions.csv with a
    row a file in the folder --out. What is there already is left out. A file that is no clip is a
    line that says why. A clip that cannot be read is one line, and the exit status 1.

    A warning, and the table's column 'warning', says what is implausible: contours that cross
    themselves, have an area that no ventricle has, or are smaller at ED than at ES, an EF below 0
    or above 90 %, ED and ES closer together than in any heart, an agreement below 50 %, too few
    frames for a beat, and pictures without an ultrasound sector.
    """
    _check_usage(clip, ed, es, tracings, out, video, attention, overwrite)
    if pictures and not clip.is_dir():
        raise click.UsageError("--pictures is for a folder; CLIP is one file")
    from echolm.predict.contour_video import check_film
    from echolm.predict.contours import ContourPredictor
    from echolm.predict.folder import from_tracings
    from echolm.predict.picture import check_picture
    from echolm.predict.reconstruction import Reconstructor, is_pretraining
    from echolm.predict.values import ValuePredictor, predicts_values
    from echolm.training.distributed import pick_device
    from grid.find import find_run

    record = find_run(run, workspace)
    phases_given = tracings is not None or ed is not None or es is not None
    looked_at = AttentionRequest(attention) if attention else None
    if is_pretraining(record):
        picture = Reconstructor(record, workspace, str(pick_device(check_device(device))))
        check_reconstruction_usage(picture, clip, phases_given, video)
        if looked_at:
            looked_at.check(picture.network)
        if tracings is not None:
            ed, es = _traced_ends(tracings, clip)
        target = out or RECONSTRUCTION
        check_picture(target)
        reconstruct_file(picture, clip, ed, es, target, as_json, looked_at)
        return
    if predicts_values(record):
        values = ValuePredictor(record, workspace, str(pick_device(check_device(device))))
        check_value_usage(values, clip, phases_given, out, video, pictures)
        if looked_at:
            looked_at.check(values.network)
        if clip.is_dir():
            ends = from_tracings(tracings) if tracings else _no_ends
            target = out or DEFAULT_OUT
            status = predict_folder(values, clip, target, ends, overwrite, pictures, as_json)
            sys.exit(status)
        if tracings is not None:
            ed, es = _traced_ends(tracings, clip)
        predict_file(values, clip, ed, es, as_json, looked_at)
        return
    if pictures:
        raise click.UsageError("--pictures: the run draws contours, which need videos")
    if out is None:
        out = Path("contours" if clip.is_dir() else "contours.png")
    if not clip.is_dir():
        check_picture(out)
    if video:
        check_film(video)
    predictor = ContourPredictor(record, workspace, str(pick_device(check_device(device))))
    if clip.is_dir():
        sys.exit(_folder(predictor, clip, out, tracings, overwrite, as_json))
    if looked_at:
        looked_at.check(predictor.network)
    if tracings is not None:
        ed, es = _traced_ends(tracings, clip)
    _file(predictor, clip, ed, es, out, video, as_json, looked_at)


def _check_usage(
    clip: Path,
    ed: int | None,
    es: int | None,
    tracings: Path | None,
    out: Path | None,
    video: Path | None,
    attention: Path | None,
    overwrite: bool,
) -> None:
    """Refuse options that do not go together."""
    frames_given = ed is not None or es is not None
    if clip.is_dir() and attention:
        raise click.UsageError("--attention is for one clip")
    if clip.is_dir() and (frames_given or video):
        raise click.UsageError(
            "--ed, --es and --video are for one clip; "
            "in a folder the frames are estimated, or those of --tracings"
        )
    if frames_given and tracings:
        raise click.UsageError("--tracings gives both frames; leave out --ed and --es")
    if overwrite and not clip.is_dir():
        raise click.UsageError(
            "--overwrite is for a folder; the picture of one clip is always written"
        )
    if out and clip.is_dir() and out.exists() and not out.is_dir():
        raise click.UsageError(
            f"--out {out}: is a file; CLIP is a folder, and --out the folder for its pictures"
        )
    if out and not clip.is_dir() and out.is_dir():
        raise click.UsageError(
            f"--out {out}: is a folder; CLIP is one file, and --out the picture to write"
        )


def _traced_ends(tracings: Path, clip: Path) -> tuple[int | None, int | None]:
    from echolm.predict.folder import from_tracings

    ends = from_tracings(tracings)(clip)
    return ends if ends is not None else (None, None)


def _file(
    predictor: ContourPredictor,
    clip: Path,
    ed: int | None,
    es: int | None,
    out: Path,
    video: Path | None,
    as_json: bool,
    attention: AttentionRequest | None,
) -> None:
    """Predict one clip, write what was asked for, and print what was found."""
    from echolm.predict.contour_video import save_film
    from echolm.predict.picture import draw, save
    from echolm.predict.plausibility import warnings_about

    with ProgressBar(clip.name, "passes") as bar:
        predictor.report_progress(bar.advance)
        prediction = predictor(clip, ed, es)
        traced = _traced_frames(predictor, clip, prediction) if video else []
    save(draw(prediction, predictor.trained_on.note), out)
    if video:
        save_film(traced, video)
    looked_at = None
    if attention:
        numbers = predictor.clip(*prediction.numbers).tolist()
        looked_at = attention.draw(predictor.network, clip, numbers, as_json)
    if as_json:
        plain = _plain(clip, prediction, out)
        plain["attention"] = looked_at
        plain["trained_on"] = plain_training(predictor.trained_on)
        plain["video"] = str(video) if video else None
        plain["video_frames"] = [frame.number for frame in traced]
        print_json(plain)
        return
    _print_prediction(prediction, out)
    if video:
        first, last = traced[0].number, traced[-1].number
        click.echo(
            f"{video}: frames {first} to {last}, each with a contour of its own forward pass"
        )
    _print_training(predictor)
    warning = warnings_about(prediction)
    if warning:
        click.echo(f"warning: {warning}", err=True)


def _traced_frames(
    predictor: ContourPredictor, clip: Path, prediction: ContourPrediction
) -> list[TracedFrame]:
    """Trace the frames from ED to ES."""
    from echolm.predict.contour_video import film

    ed, es = prediction.numbers
    cine = predictor.read(clip, range(min(ed, es), max(ed, es) + 1))
    return film(predictor, cine, ed, es)


def _print_prediction(prediction: ContourPrediction, out: Path) -> None:
    ed, es = prediction.numbers
    click.echo(
        f"{out}: contours at frames {ed} (ED) and {es} (ES); "
        f"EF {prediction.ejection_fraction:.1f} % by disks on the predicted contours"
    )
    estimate = prediction.estimate
    if estimate:
        phases = " and ".join(estimate.estimated)
        was = "were" if len(estimate.estimated) > 1 else "was"
        largest, smallest = prediction.areas
        click.echo(
            f"{phases} {was} estimated, by the largest and smallest predicted area: "
            f"agreement {100 * estimate.agreement:.0f} % over {estimate.passes} forward passes; "
            f"areas {largest:.0f} and {smallest:.0f} pixels"
        )


def _print_training(predictor: ContourPredictor) -> None:
    """Say what the run was trained on."""
    click.echo(f"run {predictor.run}: {predictor.trained_on.sentence}")


def _plain(clip: Path, prediction: ContourPrediction, out: Path) -> dict[str, Any]:
    """Return plain values for JSON. A number that is not one is null."""
    from echolm.predict.find_ed_es import RULE
    from echolm.predict.plausibility import warnings_about

    estimate = None
    if prediction.estimate:
        estimate = {"rule": RULE, **asdict(prediction.estimate)}
    ef = prediction.ejection_fraction
    return {
        "clip": str(clip),
        "frames": list(prediction.numbers),
        "estimate": estimate,
        "ejection_fraction": ef if math.isfinite(ef) else None,
        "areas": list(prediction.areas),
        "contours": prediction.contours.tolist(),
        "picture": str(out),
        "warning": warnings_about(prediction),
    }


def _folder(
    predictor: ContourPredictor,
    folder: Path,
    out: Path,
    tracings: Path | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Predict a folder's clips with a progress bar on a terminal. Return the exit status."""
    from echolm.predict.find_clips import find_clips
    from echolm.predict.folder import Folder, from_tracings

    files = find_clips(folder, out)
    ends = from_tracings(tracings) if tracings else _no_ends
    target = Folder(predictor, folder, out, ends, overwrite)
    rows = target.predict(files.clips)
    done = predict_rows(rows, len(files.clips), "clips", folder, files, target.table)
    if as_json:
        print_json(done.document(files, predictor.trained_on))
    else:
        click.echo(done.line)
        _print_estimated(done.rows)
        _print_training(predictor)
    return done.status


def _no_ends(clip: Path) -> None:
    """Give no frames: they are estimated."""


def _print_estimated(rows: list[FileRow]) -> None:
    """Say of how many clips ED and ES are estimated."""
    agreements = [row.agreement for row in rows if row.agreement is not None]
    if agreements:
        click.echo(
            f"ED and ES of {counted(len(agreements), 'clip')} are estimated; "
            f"agreement {100 * median(agreements):.0f} % (median)"
        )
