"""``echolm predict``: contours of a clip from a complete run."""

from __future__ import annotations

from pathlib import Path

import click

from echolm.cli.options import as_json, check_device, device, print_json
from echolm.errors import EchoLMError
from echolm.record import writing
from echolm.workspace import Workspace


@click.command()
@click.argument("run")
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ed", type=click.IntRange(0), required=True, help="Frame number of end-diastole, from 0.")
@click.option("--es", type=click.IntRange(0), required=True, help="Frame number of end-systole, from 0.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("contours.png"), show_default=True, help="Picture to write.")
@device("cpu")
@as_json
@click.pass_obj
def predict(workspace: Workspace, run: str, clip: Path, ed: int, es: int, out: Path, device: str, as_json: bool) -> None:
    """Draw the LV contours that a run finds in a clip.

    RUN is a complete run: a cell's id, the start of one, or a record folder. CLIP is an AVI or DICOM file. For
    research, not for clinical use.
    """
    _check_picture(out)
    from echolm.predict import Predictor, draw
    from echolm.training.distributed import pick_device
    from grid.plan import find_run

    prediction = Predictor(find_run(run, workspace), workspace, str(pick_device(check_device(device))))(clip, ed, es)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(prediction).save(out)
    if as_json:
        return print_json({
            "clip": str(clip), "frames": list(prediction.numbers), "ejection_fraction": prediction.ejection_fraction,
            "contours": prediction.contours.tolist(), "picture": str(out),
        })  # fmt: skip
    click.echo(f"{out}: contours at frames {ed} (ED) and {es} (ES); EF {prediction.ejection_fraction:.1f} % by disks on the predicted contours")


def _check_picture(out: Path) -> None:
    from PIL import Image

    if out.suffix.lower() not in Image.registered_extensions():
        raise EchoLMError(f"--out {out}: {out.suffix or 'no extension'} is no kind of picture; valid: .png, .jpg, .pdf, ...")
