"""``echolm data``: check a dataset, prepare its clip store, make a phantom, list the stores."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.complete import complete_choice, complete_clip_rule
from echolm.cli.options import as_json, print_json, print_table, program
from echolm.cli.problem_lines import problem_lines
from echolm.commands import Command
from echolm.datasets import DATASETS, Dataset, choose_dataset
from echolm.datasets.scan import PHANTOM, why_no_run
from echolm.errors import EchoLMError
from echolm.text import counted, suggest
from echolm.workspace import Workspace
from echolm.yaml_files import parse_yaml

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from echolm.datasets.scan import Scan


STRICT_STATUS = 3
"""Exit status of a strict check that found a problem."""


class DatasetName(click.ParamType):
    """The name of a dataset. Names are looked up when they are needed: plugins add to them.

    Args:
        with_phantom: take those alone that a phantom can be generated of.
    """

    name = "dataset"

    def __init__(self, with_phantom: bool = False) -> None:
        self._with_phantom = with_phantom

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Dataset:
        """Return the dataset of that name."""
        names = self._choice().choices
        if not isinstance(value, Dataset) and value not in names:
            raise click.UsageError(f"unknown dataset {value!r}; {suggest(str(value), names)}", ctx)
        return DATASETS.parse(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return how help texts spell the argument: all names."""
        return self._choice().get_metavar(param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin with what is typed."""
        return self._choice().shell_complete(ctx, param, incomplete)

    def _choice(self) -> click.Choice[str]:
        names = DATASETS.names()
        if self._with_phantom:
            names = [name for name in names if DATASETS.get(name).has_phantom()]
        return click.Choice(names)


class Choice(click.ParamType):
    """``FIELD=VALUE``, the value in YAML."""

    name = "field=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return field and value."""
        if isinstance(value, tuple):
            return value
        field, sign, text = str(value).partition("=")
        if not sign or not field.strip():
            raise EchoLMError(f"--set {value!r}: valid: FIELD=VALUE, such as fold=1")
        return field.strip(), parse_yaml(text, f"--set {field.strip()}")


def _with_choices(dataset: Dataset, choices: tuple[tuple[str, Any], ...]) -> Dataset:
    """Return a dataset with what ``--set`` says of its fields."""
    values: dict[str, Any] = {}
    for field, value in choices:
        if field in values:
            raise EchoLMError(f"--set {field}: is given twice; give it once")
        values[field] = value
    return choose_dataset(dataset.name, values)


dataset = click.argument("dataset", type=DatasetName())
choices = click.option(
    "--set",
    "choices",
    type=Choice(),
    metavar="FIELD=VALUE",
    multiple=True,
    shell_complete=complete_choice,
    help="A choice of the dataset, such as fold=1. `echolm components dataset` lists them.",
)
source = click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def data() -> None:
    """Datasets and clip stores."""


@data.command()
@dataset
@source
@choices
@click.option(
    "--no-videos", is_flag=True, help="Read the tables alone: videos are listed, and not opened."
)
@click.option(
    "--strict",
    is_flag=True,
    help="End with status 3 when any problem was found, for scripts. What the dataset's choices"
    " leave out is no problem.",
)
@as_json
def check(
    dataset: Dataset,
    path: Path,
    choices: tuple[tuple[str, Any], ...],
    no_videos: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """List what cannot be used of DATASET at PATH.

    Of each video the header, the first and the last frame are read, and files of two splits are
    compared byte for byte. Exit status 1: the set cannot be used.
    """
    from echolm.stores.check_videos import check_dataset

    dataset = _with_choices(dataset, choices)
    scan = check_dataset(dataset, path, videos=not no_videos)
    if as_json:
        print_json(_summary(dataset, scan, videos_opened=not no_videos))
    else:
        _print_scan(dataset, scan)
        if no_videos:
            click.echo(f"{dataset.noun}s were not opened (--no-videos)")
    if scan.fatal:
        sys.exit(1)
    sys.exit(STRICT_STATUS if strict and scan.problems else 0)


def _summary(dataset: Dataset, scan: Scan, videos_opened: bool) -> dict[str, Any]:
    chosen = dataset.choices()
    summary = {
        "dataset": scan.reader,
        "usable": not scan.fatal,
        "items": len(scan.items),
        "splits": scan.splits,
        **scan.facts,
        "synthetic": scan.synthetic,
        "videos_opened": videos_opened,
        "no_run": why_no_run(scan.splits),
        "problems": [vars(problem) for problem in scan.problems],
        "notes": [vars(note) for note in scan.notes],
        "skipped": [vars(skipped) for skipped in scan.skipped],
        "fatal": scan.fatal,
    }
    return summary | {"choices": chosen} if chosen else summary


def _print_scan(dataset: Dataset, scan: Scan) -> None:
    for line in problem_lines(scan.problems):
        click.echo(line)
    if scan.notes:
        click.echo(f"without {dataset.without}:")
    for line in problem_lines(scan.notes):
        click.echo(line)
    if scan.skipped:
        click.echo("left out by the dataset's choices:")
    for line in problem_lines(scan.skipped):
        click.echo(line)
    for reason in scan.fatal:
        click.echo(f"unusable: {reason}")
    count = len(scan.items)
    splits = _describe_splits(scan.splits)
    lacking = f", without {dataset.without}: {len(scan.notes)}" if scan.notes else ""
    skipped = f", left out by choice: {len(scan.skipped)}" if scan.skipped else ""
    counts = f"problems: {len(scan.problems)}{lacking}{skipped}"
    click.echo(f"{count} {dataset.noun}s usable ({splits}), {counts}")
    reason = why_no_run(scan.splits)
    if reason and not scan.fatal:
        click.echo(f"warning: {reason}")
    for remark in dataset.remarks(scan):
        click.echo(remark)


def _describe_splits(splits: dict[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in splits.items())


@data.command()
@dataset
@source
@choices
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The store's folder, linked in the workspace.",
)
@click.option(
    "--name", help="Name of the store.  [default: DATASET; of generated data, DATASET-phantom]"
)
@click.option(
    "--clips",
    "--frames",
    "clips",
    metavar="RULE",
    shell_complete=complete_clip_rule,
    default="ed-to-es-16",
    show_default=True,
    help="Frames to store: ed-to-es-16, first-32, uniform-N (N evenly spaced), every-P (each P-th),"
    " image (the first), or all.",
)
@click.option(
    "--size",
    type=int,
    metavar="N",
    help="Resize frames to N x N pixels by area. Proportions change where frames are no squares;"
    " landmarks move along.  [default: as they are]",
)
@click.option(
    "--index-only",
    is_flag=True,
    help="Store no frames: read them from the videos, whose place must not change.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Decoding processes.  [default: one a core]"
)
@click.option(
    "--skip-unreadable", is_flag=True, help="Leave out videos that do not decode, and list them."
)
@click.option(
    "--keep-equal",
    is_flag=True,
    help="Store clips of two splits that are equal, and list them. They are an error without it:"
    " what is learned from one would be tested on the other.",
)
@as_json
@click.pass_obj
def prepare(
    workspace: Workspace,
    dataset: Dataset,
    path: Path,
    choices: tuple[tuple[str, Any], ...],
    out: Path | None,
    name: str | None,
    clips: str,
    size: int | None,
    index_only: bool,
    workers: int | None,
    skip_unreadable: bool,
    keep_equal: bool,
    as_json: bool,
) -> None:
    """Decode DATASET at PATH once into a clip store.

    Stopped, it continues. Done, it is only opened.
    """
    from echolm.stores.prepare_clips import prepare

    dataset = _with_choices(dataset, choices)
    if not name:
        is_phantom = (path / PHANTOM).is_file()
        name = f"{dataset.name}-phantom" if is_phantom else dataset.name
    _check_name(name)
    link = workspace.store(name)
    if out:
        _check_link(link, out)
    try:
        store = prepare(
            dataset,
            path,
            out or link,
            clips,
            workers,
            skip_unreadable=skip_unreadable,
            index_only=index_only,
            keep_equal=keep_equal,
            cache=workspace.cache,
            size=size,
        )
    except KeyboardInterrupt:
        click.echo("stopped; the same command continues", err=True)
        raise
    if out:
        _link(link, out)
    if as_json:
        return print_json({"name": name, "path": str(store.path), **store.info})
    info = store.info
    splits = _describe_splits(info["splits"])
    click.echo(
        f"{name}: {info['items']} {dataset.noun}s ({splits}), "
        f"{info['problems']} left out (problems.csv)"
    )
    where = f", frames in {info['videos']}" if index_only else ""
    click.echo(f"{store.path}: fingerprint {store.fingerprint[:16]}{where}")
    for line in _special(info):
        click.echo(line)
    for warning in _warnings(info):
        click.echo(f"warning: {warning}", err=True)


def _special(info: dict[str, Any]) -> list[str]:
    """Say what is chosen in another way than by default, a line each."""
    from echolm.stores.clips import choice_options

    lines = []
    if info.get("dataset"):
        lines.append(f"choices: {', '.join(choice_options(info['dataset'])[1::2])}")
    if info.get("size"):
        side = info["size"]
        lines.append(
            f"frames resized to {side} x {side} pixels by area, whatever their proportions were"
        )
    return lines


def _warnings(info: dict[str, Any]) -> list[str]:
    """Say what of a store misleads, or hinders runs, a sentence each."""
    warnings = []
    equal = info.get("equal_clips", 0)
    if equal:
        warnings.append(
            f"{counted(equal, 'clip')} of one split equal clips of another (problems.csv): results "
            "on them are no test"
        )
    reason = why_no_run(info.get("splits", {}))
    if reason:
        warnings.append(reason)
    return warnings


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise EchoLMError(
            f"--name {name!r}: valid: letters, digits, '.', '_', '-', the first a letter or digit"
        )


def _check_link(link: Path, out: Path) -> None:
    """Raise EchoLMError when ``link`` is there and is not the folder ``out``."""
    if link.exists() and not (out.exists() and link.samefile(out)):
        raise EchoLMError(
            f"{link}: is another store already; choose another --name, or remove it first"
        )


def _link(link: Path, out: Path) -> None:
    """Make ``link`` a link to the folder ``out``."""
    if link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(out.absolute(), target_is_directory=True)


@data.command()
@click.argument("dataset", type=DatasetName(with_phantom=True))
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@choices
@click.option(
    "--videos",
    "--items",
    "items",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    help="Number of clips, or of what else the dataset's items are.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same files."
)
@click.option(
    "--clips-per-patient",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Clips of one heart.",
)
def phantom(
    dataset: Dataset,
    folder: Path,
    choices: tuple[tuple[str, Any], ...],
    items: int,
    seed: int,
    clips_per_patient: int,
) -> None:
    """Generate beating left ventricles in the layout of DATASET, in the new folder DIR.

    Stopped, the same command continues it.
    """
    from echolm.stores.clips import choice_options

    dataset = _with_choices(dataset, choices)
    try:
        dataset.generate_phantom(folder, items, seed, clips_per_patient, progress=True)
    except KeyboardInterrupt:
        click.echo("stopped; the same command continues", err=True)
        raise
    options = (str(folder), *choice_options(dataset.choices()), *_clips_option(dataset))
    command = Command("data prepare", dataset.name, options=options)
    noun = "clip" if dataset.noun == "video" else dataset.noun
    click.echo(f"{folder}: {items} {noun}s; next: {command.text(program())}")


def _clips_option(dataset: Dataset) -> tuple[str, ...]:
    """Return the option of the clip rule that suits a dataset, where it is not the default."""
    [option] = [one for one in prepare.params if one.name == "clips"]
    return () if dataset.clip_rule == option.default else ("--clips", dataset.clip_rule)


COLUMNS = ("name", "reader", "clips", "items", "synthetic", "fingerprint", "problem")


@data.command("list")
@as_json
@click.pass_obj
def list_stores(workspace: Workspace, as_json: bool) -> None:
    """List the clip stores of the workspace."""
    stores = [_describe_store(workspace, name) for name in workspace.stores()]
    if as_json:
        return print_json(stores)
    rows = []
    for store in stores:
        rows.append([store.get(column, "") for column in COLUMNS])
    print_table(COLUMNS, rows)


def _describe_store(workspace: Workspace, name: str) -> dict[str, Any]:
    from echolm.stores.clips import peek
    from echolm.stores.earlier_versions import why_smaller

    path = workspace.store(name)
    try:
        info = peek(path)
    except EchoLMError as error:
        return {"name": name, "path": str(path), "problem": str(error)}
    warnings = [line for line in (*_warnings(info), why_smaller(path, info)) if line]
    if warnings:
        info["problem"] = "; ".join(warnings)
    return {"name": name, "path": str(path), **info}
