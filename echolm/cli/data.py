"""``echolm data``: check a dataset, prepare its clip store, make a phantom, list the stores."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import as_json, print_json, print_table
from echolm.data.scan import PHANTOM, READERS
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.data.scan import Scan

dataset = click.argument("dataset", type=click.Choice(sorted(READERS)))
source = click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def data() -> None:
    """Datasets and clip stores."""


@data.command()
@dataset
@source
@as_json
def check(dataset: str, path: Path, as_json: bool) -> None:
    """Read DATASET at PATH: each item that cannot be used, and why. Exit status 1: the set cannot be used."""
    from echolm.data.scan import scan

    found = scan(dataset, path)
    if as_json:
        print_json(_summary(found))
    else:
        _tell(found)
    sys.exit(1 if found.fatal else 0)


def _summary(found: Scan) -> dict[str, Any]:
    return {
        "dataset": found.reader,
        "usable": not found.fatal,
        "items": len(found.items),
        "splits": found.splits,
        "es_traced_first": found.es_traced_first,
        "synthetic": found.synthetic,
        "problems": [vars(problem) for problem in found.problems],
        "fatal": found.fatal,
    }


def _tell(found: Scan) -> None:
    for problem in found.problems:
        click.echo(str(problem))
    for reason in found.fatal:
        click.echo(f"unusable: {reason}")
    splits = ", ".join(f"{count} {split}" for split, count in found.splits.items())
    click.echo(f"{len(found.items)} videos usable ({splits}), problems: {len(found.problems)}")
    click.echo(f"ED is the larger of the two traced areas; ES is traced first in {found.es_traced_first} videos")


@data.command()
@dataset
@source
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The store's folder, linked in the workspace."
)
@click.option("--name", help="Name of the store.  [default: DATASET; of generated data, DATASET-phantom]")
@click.option("--clips", default="ed-to-es-16", show_default=True, help="Frames to store: ed-to-es-16, or all.")
@click.option("--index-only", is_flag=True, help="Store no frames: read them from the videos, whose place must not change.")
@click.option("--workers", type=click.IntRange(1), help="Decoding processes.  [default: one a core]")
@click.option("--skip-unreadable", is_flag=True, help="Leave out videos that do not decode, and list them.")
@as_json
@click.pass_obj
def prepare(
    workspace: Workspace,
    dataset: str,
    path: Path,
    out: Path | None,
    name: str | None,
    clips: str,
    index_only: bool,
    workers: int | None,
    skip_unreadable: bool,
    as_json: bool,
) -> None:
    """Decode DATASET at PATH once into a clip store. Stopped, it continues; done, it is only opened."""
    from echolm.data.prepare import prepare

    name = _name(name or (f"{dataset}-phantom" if (path / PHANTOM).is_file() else dataset))
    place = workspace.store(name)
    if out:
        _check_link(place, out)
    try:
        store = prepare(dataset, path, out or place, clips, workers, skip_unreadable=skip_unreadable, index_only=index_only)
    except KeyboardInterrupt:
        click.echo("stopped; the same command continues", err=True)
        raise
    if out:
        _link(place, out)
    if as_json:
        return print_json({"name": name, "path": str(store.path), **store.info})
    splits = ", ".join(f"{count} {split}" for split, count in store.info["splits"].items())
    click.echo(f"{name}: {store.info['items']} videos ({splits}), {store.info['problems']} left out (problems.csv)")
    where = f", frames in {store.info['videos']}" if index_only else ""
    click.echo(f"{store.path}: fingerprint {store.fingerprint[:16]}{where}")


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise EchoLMError(f"--name {name!r}: valid: letters, digits, '.', '_', '-', the first a letter or digit")
    return name


def _check_link(place: Path, out: Path) -> None:
    if place.exists() and not (out.exists() and place.samefile(out)):
        raise EchoLMError(f"{place}: is another store already; choose another --name, or remove it first")


def _link(place: Path, out: Path) -> None:
    """Make ``place`` a link to the folder ``out``."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(out.absolute(), target_is_directory=True)


@data.command()
@dataset
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--videos", type=click.IntRange(1), default=120, show_default=True, help="Number of clips.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same files.")
@click.option("--clips-per-patient", type=click.IntRange(1), default=1, show_default=True, help="Clips of one heart.")
def phantom(dataset: str, folder: Path, videos: int, seed: int, clips_per_patient: int) -> None:
    """Generate beating left ventricles in the layout of DATASET, in the new folder DIR."""
    from echolm.data.phantom import phantom

    phantom(folder, videos, seed, clips_per_patient)
    click.echo(f"{folder}: {videos} clips; next: echolm data prepare {dataset} {folder}")


COLUMNS = ("name", "reader", "clips", "items", "synthetic", "fingerprint", "problem")


@data.command("list")
@as_json
@click.pass_obj
def list_stores(workspace: Workspace, as_json: bool) -> None:
    """List the clip stores of the workspace."""
    stores = [_described(workspace, name) for name in workspace.stores()]
    if as_json:
        return print_json(stores)
    print_table(COLUMNS, [[store.get(column, "") for column in COLUMNS] for store in stores])


def _described(workspace: Workspace, name: str) -> dict[str, Any]:
    from echolm.data.store import peek

    place = workspace.store(name)
    try:
        return {"name": name, "path": str(place), **peek(place)}
    except EchoLMError as error:
        return {"name": name, "path": str(place), "problem": str(error)}
