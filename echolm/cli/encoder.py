"""``echolm encoder``: what an encoder costs."""

from __future__ import annotations

import sys
from typing import Any

import click

from echolm.cli.complete import complete_encoder
from echolm.cli.options import as_json, check_device, device, print_json, print_table

BATCH = 4
SECONDS = 3.0
GIGA = 1e9


@click.group()
def encoder() -> None:
    """Measure what an encoder costs."""


@encoder.command("time")
@click.argument("name", metavar="ENCODER", shell_complete=complete_encoder)
@device("auto")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=BATCH,
    show_default=True,
    help="Clips at once, for the amortised time.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=SECONDS,
    show_default=True,
    help="How long passes are repeated for each time. One pass at least is measured.",
)
@as_json
def time_command(name: str, device: str, batch: int, seconds: float, as_json: bool) -> None:
    """Measure parameters, FLOPs and milliseconds a clip of ENCODER, one pass forward in float32.

    Latency is the time of one clip alone, amortised that of --batch clips at once divided by their
    number. Both are from pixels on the device to features: no file is read. FLOPs are of
    convolutions and products of matrices, a product and its sum are two. Weights are random, which
    changes none of it. Large encoders need seconds a clip on a CPU, and one pass each is not timed.
    """
    from echolm.encoders.timing import time_encoder
    from echolm.training.distributed import pick_device

    chosen = str(pick_device(check_device(device)))
    facts = time_encoder(name, chosen, batch, seconds, _tell)
    if as_json:
        return print_json(facts)
    print_table(["", facts["encoder"]], _rows(facts))
    click.echo(
        f"on {facts['device']} ({facts['device_name']}), {facts['threads']} threads of "
        f"{facts['cpus']} processors, {facts['precision']}, torch {facts['torch']}"
    )


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("clip", f"{facts['frames']} frames of {facts['size']} x {facts['size']}"),
        ("parameters", f"{facts['parameters']:,}"),
        ("FLOPs a clip", f"{facts['flops']:,} ({facts['flops'] / GIGA:,.1f} G)"),
    ]
    names = {"latency_ms": "latency, ms a clip", "amortised_ms": "amortised, ms a clip"}
    for key, name in names.items():
        times = facts[key]
        spread = f"{times['least']:.4g} to {times['largest']:.4g}"
        noun = "pass" if times["passes"] == 1 else "passes"
        of = "1 clip" if times["batch"] == 1 else f"{times['batch']} clips at once"
        text = f"{times['median']:.4g} ({spread}; {times['passes']} {noun} of {of})"
        rows.append((name, text))
    return rows
