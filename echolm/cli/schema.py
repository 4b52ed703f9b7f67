"""``echolm schema``: JSON Schemas for editors."""

from __future__ import annotations

import click

from echolm.cli.options import print_json


@click.command()
@click.argument("kind", type=click.Choice(["grid", "search", "profile", "run"]))
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output (always so)."
)
def schema(kind: str, as_json: bool) -> None:
    """Print the JSON Schema of a kind of file, for editors that complete and check YAML.

    The components of plugins (ECHOLM_PLUGINS) are in it. Name it in the first line of a file:

    \b
    echolm schema grid > grid.schema.json
    # yaml-language-server: $schema=grid.schema.json
    """  # noqa: D301 - click reads the character \b
    from cluster.json_schemas import json_schema

    print_json(json_schema(kind))
