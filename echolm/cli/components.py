"""``echolm components``: what can be named in a configuration."""

from __future__ import annotations

from typing import Any

import click

from echolm.cli.complete import complete_component, complete_kind
from echolm.cli.options import as_json, print_json, print_table
from echolm.text import counted


@click.command()
@click.argument("kind", required=False, shell_complete=complete_kind)
@click.argument("name", required=False, shell_complete=complete_component)
@as_json
def components(kind: str | None, name: str | None, as_json: bool) -> None:
    """List encoders, heads, tasks and all else that a configuration names.

    Without KIND the kinds are listed, with KIND (encoder, head, ...) its components, with NAME the
    fields of one, their defaults and where it comes from. Those of plugins (ECHOLM_PLUGINS) too.
    """
    from grid.components import describe_component, kinds, list_components

    if kind is None:
        listed = {one: [facts["name"] for facts in list_components(one)] for one in kinds()}
        if as_json:
            return print_json(listed)
        return print_table(["kind", "names"], [(one, ", ".join(listed[one])) for one in listed])
    if name is not None:
        description = describe_component(kind, name)
        return print_json(description) if as_json else _print_description(description)
    listed_components = list_components(kind)
    if as_json:
        return print_json(listed_components)
    rows = [(facts["name"], facts["summary"]) for facts in listed_components]
    print_table(["name", "what it is"], rows)
    click.echo(f"{counted(len(rows), 'name')}; echolm components {kind} NAME shows its fields")


def _print_description(description: dict[str, Any]) -> None:
    click.echo(f"{description['kind']} {description['name']}")
    for line in description["text"].splitlines():
        click.echo(f"  {line}".rstrip())
    click.echo()
    if description["fields"]:
        rows = [_field_row(field) for field in description["fields"]]
        print_table(["field", "type", "default", "range"], rows)
    else:
        click.echo("no fields")
    click.echo()
    for fact, value in description["facts"].items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        click.echo(f"{fact}: {text}")
    click.echo(f"source: {description['source']}")


def _field_row(field: dict[str, Any]) -> tuple[str, str, str, str]:
    default = "(must be given)" if field["required"] else str(field["default"])
    return field["name"], field["type"], default, field["range"]
