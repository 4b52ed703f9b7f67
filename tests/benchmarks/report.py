"""Keep results: a JSON file a benchmark, and a README of all of them.

``python -m tests.benchmarks.report`` writes the README again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Rate, spread

RESULTS = Path(__file__).parents[2] / "results" / "benchmarks"
INTRODUCTION = """# Benchmarks

`make bench` measures all of this again and rewrites this folder; `python -m tests.benchmarks
--only clips` measures one group, `python -m tests.benchmarks.gpu` what needs a GPU,
`python -m tests.benchmarks.phases` the phases that `echolm predict` estimates. Rates are per second
of CPU time, on one core and one thread. The ways of a table ran in turn, round after round, in one
process; a ratio is taken within a round, and figures are median (smallest-largest) over rounds.
Input data are phantom clips.
"""


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Keep one group's results and write the README anew."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    readme(folder)


def readme(folder: Path) -> None:
    """Write the README of the results in a folder."""
    lines = [INTRODUCTION]
    for path in sorted(folder.glob("*.json")):
        group = json.loads(path.read_text(encoding="utf-8"))
        lines += _group(path.stem, group)
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _group(name: str, group: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    yield _circumstances(group["circumstances"]) + "\n"
    if "not measured" in group:
        yield f"{group['not measured']}. On a machine with one: `python -m tests.benchmarks.gpu`.\n"
    for comparison in group.get("comparisons", []):
        yield from _table(comparison)
    for title, lines in group.get("sections", {}).items():
        yield f"### {title}\n"
        for line in lines:
            yield f"- {line}"
        yield ""


def _circumstances(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date']}; {facts['processor']}; GPU {facts['gpu']}; {facts['system']};"
        f" {versions}; load of the machine when done {facts['load']}."
    )


def _table(comparison: dict[str, Any]) -> Iterator[str]:
    yield f"### {comparison['title']}\n"
    yield f"| way | {comparison['unit']} / CPU s | ratio | target |"
    yield "|---|---|---|---|"
    for fields in comparison["ways"]:
        way = Rate(**fields)
        ratio = spread(way.ratios) if way.ratios else "1 (the peer)"
        target = "" if way.target is None else f"{way.target:g}: {way.verdict}"
        yield f"| {way.name} | {spread(way.rates)} | {ratio} | {target} |"
    yield ""
    for name, value in comparison["facts"].items():
        yield f"- {name}: {value}"
    yield ""


if __name__ == "__main__":
    readme(RESULTS)
