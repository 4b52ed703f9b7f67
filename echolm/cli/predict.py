"""``echolm predict``: contours of a clip, or of a folder of clips, from a complete run."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import as_json, check_device, counted, device, print_json
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.predict.folder import FileRow
    from echolm.predict.predictor import Cine, Prediction, Predictor


@click.command()
@click.argument("run")
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option("--ed", type=click.IntRange(0), help="Frame number of end-diastole, from 0.  [default: estimated]")
@click.option("--es", type=click.IntRange(0), help="Frame number of end-systole, from 0.  [default: estimated]")
@click.option("--tracings", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A VolumeTracings.csv: clips that it traces get its frames.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write, or folder.  [default: contours.png, or contours]")
@click.option("--video", type=click.Path(dir_okay=False, path_type=Path), help="Contour video to write: .mp4, .avi or .gif.")
@click.option("--overwrite", is_flag=True, help="In a folder: predict again what is there.")
@device("cpu")
@as_json
@click.pass_obj
def predict(
    workspace: Workspace, run: str, clip: Path, ed: int | None, es: int | None, tracings: Path | None, out: Path | None,
    video: Path | None, overwrite: bool, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Draw the LV contours that a run finds in clips.

    RUN is a complete run: a cell's id, the start of one, or a record folder. CLIP is an AVI or DICOM file, or a folder
    of them. For research, not for clinical use.

    Without --ed and --es both frames are estimated, with one of them the other: the frames of largest (ED) and smallest
    (ES) predicted area, at most one second apart. The network reads every candidate frame in three short clips, as
    first, last and only frame; its area is the mean of these readings, and the agreement tells how far they point to
    the same frames (100 %: all do). The frames that are found are printed as estimated.

    The video holds the frames from ED to ES, ten a second, and no others. Each contour is from a forward pass of its
    own in which that frame is an end of the clip: frames nearer to ED take the ED contour of the clip from there to ES,
    the others the ES contour of the clip from ED to there. Nothing is interpolated.

    A folder's clips, without those of folders inside it, give a picture each and predictions.csv with a row a file in
    the folder --out. What is there already is left out. A file that cannot be read is one line, and the exit status 1.
    Its column 'warning' says what is implausible: a contour at ED that is smaller than at ES, an EF below 0 or above 90 %,
    an agreement below 50 %.
    """
    _check_usage(clip, ed, es, tracings, out, video, overwrite)
    from echolm.predict.film import check_film
    from echolm.predict.picture import check_picture
    from echolm.predict.predictor import Predictor
    from echolm.training.distributed import pick_device
    from grid.plan import find_run

    out = out or Path("contours" if clip.is_dir() else "contours.png")
    if not clip.is_dir():
        check_picture(out)
    if video:
        check_film(video)
    predictor = Predictor(find_run(run, workspace), workspace, str(pick_device(check_device(device))))
    if clip.is_dir():
        sys.exit(_folder(predictor, clip, out, tracings, overwrite, as_json))
    _file(predictor, clip, _given(clip, ed, es, tracings), out, video, as_json)


def _check_usage(
    clip: Path, ed: int | None, es: int | None, tracings: Path | None, out: Path | None, video: Path | None, overwrite: bool
) -> None:
    """Options that do not go together are wrong usage."""
    given = ed is not None or es is not None
    if clip.is_dir() and (given or video):
        raise click.UsageError("--ed, --es and --video are for one clip; in a folder the frames are estimated, or those of --tracings")
    if given and tracings:
        raise click.UsageError("--tracings gives both frames; leave out --ed and --es")
    if overwrite and not clip.is_dir():
        raise click.UsageError("--overwrite is for a folder; the picture of one clip is always written")
    if out and clip.is_dir() and out.exists() and not out.is_dir():
        raise click.UsageError(f"--out {out}: is a file; CLIP is a folder, and --out the folder for its pictures")
    if out and not clip.is_dir() and out.is_dir():
        raise click.UsageError(f"--out {out}: is a folder; CLIP is one file, and --out the picture to write")


def _given(clip: Path, ed: int | None, es: int | None, tracings: Path | None) -> tuple[int | None, int | None]:
    if tracings is None:
        return ed, es
    from echolm.predict.folder import from_tracings

    return from_tracings(tracings)(clip) or (None, None)


def _file(predictor: Predictor, clip: Path, given: tuple[int | None, int | None], out: Path, video: Path | None, as_json: bool) -> None:
    from tqdm import tqdm

    from echolm.predict.film import film, save_film
    from echolm.predict.picture import draw, save

    with tqdm(unit="pass", desc=clip.name, disable=not sys.stderr.isatty(), leave=False, dynamic_ncols=True) as bar:
        predictor.progress = bar.update
        found = predictor(clip, *given)
        traced = film(predictor, _between(predictor, clip, found), *found.numbers) if video else []
    save(draw(found), out)
    if video:
        save_film(traced, video)
    if as_json:
        return print_json(_plain(clip, found, out) | {"video": str(video) if video else None, "video_frames": [one.number for one in traced]})
    ed, es = found.numbers
    click.echo(f"{out}: contours at frames {ed} (ED) and {es} (ES); EF {found.ejection_fraction:.1f} % by disks on the predicted contours")
    if found.estimate:
        click.echo(_estimated(found))
    if doubt := _doubt(found):
        click.echo(f"warning: {doubt}", err=True)
    if video:
        click.echo(f"{video}: frames {traced[0].number} to {traced[-1].number}, each with a contour of its own forward pass")


def _between(predictor: Predictor, clip: Path, found: Prediction) -> Cine:
    """The frames from ED to ES."""
    return predictor.read(clip, range(min(found.numbers), max(found.numbers) + 1))


def _estimated(found: Prediction) -> str:
    assert found.estimate
    phases = " and ".join(found.estimate.estimated)
    was = "were" if len(found.estimate.estimated) > 1 else "was"
    largest, smallest = found.areas
    return (
        f"{phases} {was} estimated, by the largest and smallest predicted area: agreement {100 * found.estimate.agreement:.0f} % "
        f"over {found.estimate.passes} forward passes; areas {largest:.0f} and {smallest:.0f} pixels"
    )


def _doubt(found: Prediction) -> str:
    from echolm.predict.plausible import warning

    return warning(found.ejection_fraction, found.areas, found.estimate.agreement if found.estimate else None)


def _plain(clip: Path, found: Prediction, out: Path) -> dict[str, Any]:
    """For JSON; a number that is not one is null."""
    from echolm.predict.phases import RULE

    estimate = {"rule": RULE, **asdict(found.estimate)} if found.estimate else None
    ef = found.ejection_fraction
    return {
        "clip": str(clip), "frames": list(found.numbers), "estimate": estimate, "ejection_fraction": ef if math.isfinite(ef) else None,
        "areas": list(found.areas), "contours": found.contours.tolist(), "picture": str(out),
        "warning": _doubt(found),
    }  # fmt: skip


def _folder(predictor: Predictor, folder: Path, out: Path, tracings: Path | None, overwrite: bool, as_json: bool) -> int:
    """Predict a folder's clips with a progress bar on a terminal; the exit status."""
    from tqdm import tqdm

    from echolm.predict.folder import Folder, clips, from_tracings

    files = clips(folder)
    target = Folder(predictor, out, from_tracings(tracings) if tracings else lambda _: None, overwrite)
    rows: list[FileRow] = []
    counts: Counter[str] = Counter()
    with tqdm(total=len(files), unit="clip", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        for row, new in target.predict(files):
            rows.append(row)
            counts["failed" if row.problem else "predicted" if new else "already there"] += 1
            if row.problem:
                tqdm.write(row.problem, file=sys.stderr)
            bar.update()
    if as_json:
        print_json({"table": str(target.table), "counts": dict(counts), "files": [asdict(row) for row in rows]})
    else:
        doubtful = sum(bool(row.warning) for row in rows)
        warned = f"; {doubtful} with a warning (column 'warning')" if doubtful else ""
        click.echo(f"{target.table}: {counted(len(files), 'clip')}: {', '.join(f'{number} {what}' for what, number in counts.items())}{warned}")
        if agreements := [row.agreement for row in rows if row.agreement is not None]:
            click.echo(f"ED and ES of {counted(len(agreements), 'clip')} are estimated; agreement {100 * median(agreements):.0f} % (median)")
    return 1 if counts["failed"] else 0
