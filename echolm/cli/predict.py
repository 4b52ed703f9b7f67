"""``echolm predict``: contours of a clip from a complete run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import as_json, check_device, device, print_json
from echolm.errors import EchoLMError
from echolm.record import write_atomic, writing
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.predict import Prediction


@click.command()
@click.argument("run")
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ed", type=click.IntRange(0), help="Frame number of end-diastole, from 0.  [default: searched]")
@click.option("--es", type=click.IntRange(0), help="Frame number of end-systole, from 0.  [default: searched]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("contours.png"), show_default=True, help="Picture to write.")
@device("cpu")
@as_json
@click.pass_obj
def predict(workspace: Workspace, run: str, clip: Path, ed: int | None, es: int | None, out: Path, device: str, as_json: bool) -> None:
    """Draw the LV contours that a run finds in a clip.

    RUN is a complete run: a cell's id, the start of one, or a record folder. CLIP is an AVI or DICOM file. Without --ed
    and --es the phases are estimated: of candidate pairs of frames, the one with the largest predicted area at ED and the
    smallest at ES. For research, not for clinical use.
    """
    _check_picture(out)
    from echolm.phases import DOUBTFUL
    from echolm.predict import Predictor, draw
    from echolm.training.distributed import pick_device
    from grid.plan import find_run

    prediction = Predictor(find_run(run, workspace), workspace, str(pick_device(check_device(device))))(clip, ed, es)
    buffer = io.BytesIO()
    draw(prediction).save(buffer, format=_format(out))
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, buffer.getvalue())
    if as_json:
        return print_json({"clip": str(clip), **described(prediction), "contours": prediction.contours.tolist(), "picture": str(out)})
    click.echo(f"{out}: {_told(prediction)}")
    if prediction.phases and not prediction.phases.agreement >= DOUBTFUL:
        click.echo("the agreement is low: look at the picture, or give --ed and --es", err=True)


def described(prediction: Prediction) -> dict[str, Any]:
    """A prediction's numbers for JSON: frames, how they were found, ejection fraction in percent."""
    from echolm.phases import RULE

    phases = prediction.phases
    agreement = None if phases is None or phases.agreement != phases.agreement else round(phases.agreement, 4)
    return {
        "frames": list(prediction.numbers), "frames_estimated": phases is not None, "rule": RULE if phases else None,
        "agreement": agreement, "ejection_fraction": prediction.ejection_fraction,
    }  # fmt: skip


def _told(prediction: Prediction) -> str:
    (ed, es), phases = prediction.numbers, prediction.phases
    how = f", estimated in {phases.passes} passes (agreement {phases.agreement:.2f})" if phases else ""
    return f"contours at frames {ed} (ED) and {es} (ES){how}; EF {prediction.ejection_fraction:.1f} % by disks on the predicted contours"


def _format(out: Path) -> str:
    from PIL import Image

    return Image.registered_extensions()[out.suffix.lower()]


def _check_picture(out: Path) -> None:
    from PIL import Image

    if out.suffix.lower() not in Image.registered_extensions():
        raise EchoLMError(f"--out {out}: {out.suffix or 'no extension'} is no kind of picture; valid: .png, .jpg, .pdf, ...")
