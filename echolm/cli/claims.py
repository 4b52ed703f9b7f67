"""``echolm claims``: how likely each claimed superiority is false."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, grid_argument, print_json, print_table, program
from echolm.cli.terminal import say
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.statistics.claims import SuperiorityClaim
    from grid.tables.claims import ColumnClaims
    from grid.tables.named_claims import JudgedClaim


@click.command()
@grid_argument
@click.option("--table", "name", metavar="NAME", help="Only this table.")
@click.option(
    "--no-seeds",
    is_flag=True,
    help="Of the trained networks as they are: only patients vary, as in the closed form.",
)
@click.option(
    "--correlation",
    type=click.FloatRange(-1, 1),
    default=0.5,
    show_default=True,
    help="Assumed of two published values over patients where no run of yours measures it.",
)
@as_json
@click.pass_obj
def claims(
    workspace: Workspace,
    grid_name: str,
    name: str | None,
    no_seeds: bool,
    correlation: float,
    as_json: bool,
) -> None:
    """Say how likely it is that a claimed superiority in the tables of GRID is false.

    In each column the best value is held against every other. The probability that it is not better
    in truth is over patients and seeds, each drawn independently. For published numbers it is the
    closed form of arXiv 2505.04720, of one training each. Values that cannot be told apart form a
    group. The variance of each difference is split into the shares of patients and of seeds.

    Claims that GRID names (claims: in its file) stand first, in a sentence each: under which
    recipes they hold, are undecided or are reversed. In the list that --json prints they are the
    entries with "claim".
    """
    from cluster.status import where_run
    from grid.tables.claims import claims_document, table_claims
    from grid.tables.named_claims import judge_claims
    from grid.tables.workspace_tables import built_tables, choose_tables, open_results

    grid, results = open_results(workspace, grid_name)
    if results is None:
        command = Command("launch", grid_name, on="local")
        raise EchoLMError(f"grid {grid.name}: nothing was run yet; type", command)
    names = choose_tables(grid, name)
    place = where_run(workspace, grid.name)
    built = built_tables(workspace, grid, results, names, program(), place=place, hold=True)
    named = [] if name else judge_claims(workspace, grid, results, place)
    judged = [(table, table_claims(table, not no_seeds, correlation)) for table in built]
    if as_json:
        documents = [claims_document(table, columns) for table, columns in judged]
        return print_json([*documents, *(one.facts() for one in named)])
    _print_named(named)
    for table, columns in judged:
        click.echo(f"{table.title} ({table.name})")
        if not columns:
            click.echo("  no column says which values are better")
        for column in columns:
            _print_column(column)


def _print_named(named: Sequence[JudgedClaim]) -> None:
    """Print the claims that the grid names, in a sentence each."""
    from grid.tables.named_claims import claims_rule

    for one in named:
        say(f"- {one.sentence}")
    if named:
        say(f"{claims_rule()}\n")


def _print_column(column: ColumnClaims) -> None:
    click.echo()
    synthetic = "  synthetic data (phantom)" if column.synthetic else ""
    click.echo(f"{column.heading}{synthetic}")
    if column.claims:
        _print_claims(column.claims, column.digits)
        for number, group in enumerate(column.groups, 1):
            click.echo(f"  group {number}: {' | '.join(group)}")
    else:
        click.echo("  no two values to compare")
    for reason in column.left_out:
        click.echo(f"  left out: {reason}")
    if column.published:
        click.echo("  published numbers, one training each:")
        _print_claims([one.claim for one in column.published], column.digits)
        assumed = [one.claim.correlation for one in column.published if not one.measured]
        if assumed:
            click.echo(
                f"  correlation over patients: {assumed[0]:g} assumed for {len(assumed)} of "
                f"{len(column.published)} (--correlation)"
            )


def _print_claims(
    claims: list[SuperiorityClaim] | tuple[SuperiorityClaim, ...], digits: int
) -> None:
    rows = []
    for one in claims:
        verdict = "supported" if one.supported else "may be false"
        shares = f"{100 * one.patient_share:.0f} % / {100 * one.seed_share:.0f} %"
        if not one.counts_seeds:
            shares = "patients only"
        rows.append(
            (
                f"  {verdict}",
                f"{one.better} > {one.worse}",
                f"{one.advantage:.{digits}f}",
                _percent(one.false),
                shares,
            )
        )
    header = ["  verdict", "claim", "by", "false with", "patients / seeds"]
    print_table(header, rows)


def _percent(probability: float) -> str:
    if probability != probability:  # NaN: not known
        return "?"
    if probability < 0.001:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"
