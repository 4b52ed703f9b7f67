"""``echolm predict`` of pretraining runs: a picture of what a masked autoencoder fills in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from echolm.cli.options import print_json
from echolm.cli.predict_values import plain_training
from echolm.text import printable

if TYPE_CHECKING:
    from echolm.cli.predict_attention import AttentionRequest
    from echolm.predict.reconstruction import Reconstructor

DEFAULT_OUT = Path("reconstruction.png")


def check_reconstruction_usage(
    predictor: Reconstructor, clip: Path, phases_given: bool, video: Path | None
) -> None:
    """Refuse options that have no meaning for a pretraining run."""
    if video:
        raise click.UsageError(f"--video draws contours; run {predictor.run} predicts none")
    if clip.is_dir():
        raise click.UsageError(
            f"{clip}: is a folder; of a pretraining run the picture of one file is drawn"
        )
    if phases_given and not predictor.needs_phases:
        raise click.UsageError(
            f"--ed, --es and --tracings: run {predictor.run} sees the whole file, and needs "
            "neither frame"
        )


def reconstruct_file(
    predictor: Reconstructor,
    clip: Path,
    ed: int | None,
    es: int | None,
    out: Path,
    as_json: bool,
    attention: AttentionRequest | None = None,
) -> None:
    """Draw original, masked and reconstructed frames of a file, and print the loss."""
    from echolm.predict.picture import save
    from echolm.predict.reconstruction import draw_reconstruction

    found = predictor(clip, ed, es)
    save(draw_reconstruction(found, predictor.trained_on.note), out)
    looked_at = None
    if attention:
        looked_at = attention.draw(predictor.network, clip, found.numbers, as_json)
    if as_json:
        print_json(
            {
                "clip": str(clip),
                "picture": str(out),
                "loss": found.loss,
                "masked": found.share,
                "frames": list(found.numbers),
                "attention": looked_at,
                "run": predictor.run,
                "trained_on": plain_training(predictor.trained_on),
            }
        )
        return
    click.echo(
        f"{out}: original, masked and reconstructed frames of {printable(str(clip))}; "
        f"{100 * found.share:.0f} % of the cubes masked, loss {found.loss:.4g}"
    )
    if found.undone:
        click.echo("mean and deviation of each masked cube are those of the original")
    click.echo(f"run {predictor.run}: {predictor.trained_on.sentence}")
