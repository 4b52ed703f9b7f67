"""The foreign check.

Independent numpy gives every number of a table from the predictions' Parquet files alone, as the
documentation of ``grid.statistics`` says that they are made.

Nothing of ``grid.statistics`` is used, nor the table's own reading of files and of published
numbers.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_statistics import crossed, resampled
from scipy import stats

from grid.definition.tables import TableDefinition
from grid.tables import published
from grid.tables.build import build
from grid.tables.render.data import plain

COLUMNS = {
    "Dice ED (%)": ("dice", "ED"),
    "Dice ES (%)": ("dice", "ES"),
    "MKE ED (px)": ("mke", "ED"),
}
KINDS = (
    "std-over-patients",
    "std-over-seeds",
    "bootstrap-90",
    "bootstrap-95",
    "crossed-95",
    "subset-draws-95",
)
PLACES = [(encoder, head) for encoder in ("r3d-18", "mvit-v2-s") for head in ("mlp", "gcn")]


def read(files: list[Path], metric: str, slot: str, by: str) -> np.ndarray:
    """Seeds x patients (or samples), by id."""
    tables = [
        [
            row
            for row in pq.read_table(file).to_pylist()
            if row["split"] == "test" and row["slot"] == slot
        ]
        for file in files
    ]
    ids = sorted({row[by] for row in tables[0]})
    return np.array(
        [
            [np.mean([row[metric] for row in rows if row[by] == one]) for one in ids]
            for rows in tables
        ]
    )


def subsets(samples: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of Echo-Vision-FM's interval."""
    batches, random = (
        [samples[:, at : at + 8] for at in range(0, samples.shape[1], 8)],
        np.random.default_rng(5050),
    )
    chosen = [
        random.choice(len(batches), min(16, len(batches) - 2), replace=False) for _ in range(50)
    ]
    values = [np.concatenate([batches[at] for at in own], 1).mean() for own in chosen]
    return float(np.mean(values)), float(
        stats.t.ppf(0.975, 49) * np.std(values, ddof=1) / np.sqrt(50)
    )


def holm(p: list[float]) -> np.ndarray:
    order = np.argsort(p)
    found = np.empty(len(p))
    found[order] = np.minimum(
        1, np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    )
    return found


def printed(encoder: str, head: str, metric: str, slot: str) -> tuple[float, float]:
    """The number of NLDL 2026, Table 2, everything trained without augmentation, and its std over
    1,264 patients.
    """
    with open(published.FOLDER / "bhoodoo2026.csv", encoding="utf-8", newline="") as file:
        wanted = {
            "table": "2",
            "encoder": encoder,
            "head": head,
            "augmentation": "no",
            "condition": slot,
            "metric": metric,
        }
        [row] = [row for row in csv.DictReader(file) if wanted.items() <= row.items()]
    return float(row["value"]), float(row["spread"])


@pytest.fixture
def files(grid: Any, results: Any) -> dict[tuple[str, str], list[Path]]:
    """Runs near the published ones, some nearer than others.

    A patient has two samples. Encoder and head -> their files.
    """
    random, found = np.random.default_rng(8), {}
    patients = random.normal(0, 3, 40)
    for cell in grid.cells:
        encoder, head, seed = cell.id.split(".")
        encoder = {"tiny-r3d": "r3d-18"}.get(encoder, "mvit-v2-s")
        cell.coordinates.update(encoder=encoder, trainable="all")
        rows = []
        for slot in ("ED", "ES"):
            shift = random.normal(0, 0.3) - (4 if (head, slot) == ("mlp", "ES") else 0)
            for sample, patient in [*enumerate(range(40)), (99, 0)]:
                own = patients[patient] + shift + random.normal(0, 1)
                ids = {
                    "sample": f"s{sample}",
                    "patient": f"p{patient}",
                    "split": "test",
                    "target": "landmarks",
                    "slot": slot,
                }
                rows.append(
                    {
                        **ids,
                        "dice": printed(encoder, head, "dice", slot)[0] + own,
                        "mke": 2.5 - own / 4 + (encoder == "r3d-18"),
                    }
                )
        results.run(cell.id, table=pa.Table.from_pylist(rows))
        path = results.folder / "predictions" / f"{f'{cell.id}-0'.ljust(64, '0')[:16]}.parquet"
        found.setdefault((encoder, head), []).append(path)
    definition = grid.tables["main"].model_dump()
    grid.tables["main"] = TableDefinition.model_validate(
        {**definition, "published": {"paper": "bhoodoo2026", "table": "2"}}
    )
    return found


@pytest.fixture
def tables(grid: Any, results: Any, files: Any) -> dict[str, Any]:
    return {kind: plain(build(grid, "main", results.folder, kind)) for kind in KINDS}


def shown(
    tables: dict[str, Any], kind: str, place: tuple[str, str], heading: str
) -> dict[str, Any]:
    [row] = [row for row in tables[kind]["rows"] if tuple(row["labels"].values()) == place]
    return row["values"][heading]


def test_every_number_and_its_spread(files: Any, tables: dict[str, Any]) -> None:
    for place, heading in itertools.product(PLACES, COLUMNS):
        values = read(files[place], *COLUMNS[heading], by="patient")
        found = {kind: shown(tables, kind, place, heading) for kind in KINDS}
        mean, half = subsets(read(files[place], *COLUMNS[heading], by="sample"))
        same = resampled(values).mean(0)
        assert all(
            found[kind]["mean"] == pytest.approx(values.mean(), rel=1e-12) for kind in KINDS[:-1]
        )
        assert [source["value"] for source in found["crossed-95"]["sources"]] == pytest.approx(
            values.mean(1), rel=1e-12
        )
        assert found["std-over-patients"]["spread"] == pytest.approx(
            values.std(1, ddof=1).mean(), rel=1e-10
        )
        assert found["std-over-seeds"]["spread"] == pytest.approx(
            values.mean(1).std(ddof=1), rel=1e-10
        )
        for kind, draws, ends in (
            ("bootstrap-90", same, (5, 95)),
            ("bootstrap-95", same, (2.5, 97.5)),
            ("crossed-95", crossed(values)[0], (2.5, 97.5)),
        ):
            assert (found[kind]["low"], found[kind]["high"]) == pytest.approx(
                np.percentile(draws, ends), rel=1e-10
            )
        assert (
            found["subset-draws-95"]["mean"],
            found["subset-draws-95"]["spread"],
        ) == pytest.approx((mean, half), rel=1e-10)


def test_every_verdict_on_a_published_number(files: Any, tables: dict[str, Any]) -> None:
    outcomes = set()
    for place in PLACES:
        for heading, (metric, slot) in COLUMNS.items():
            values, (value, spread) = (
                read(files[place], metric, slot, by="patient"),
                printed(*place, metric, slot),
            )
            seeds, count = values.mean(1), len(values)
            parts = [stats.t.ppf(0.975, count - 1) * seeds.std(ddof=1) * np.sqrt(1 + 1 / count)]
            parts += [
                stats.norm.ppf(0.975) * sem for sem in (crossed(values)[2], spread / np.sqrt(1264))
            ]
            distance, allowed = abs(value - seeds.mean()), float(np.sqrt(np.sum(np.square(parts))))
            verdict = shown(tables, "crossed-95", place, heading)["verdict"]
            assert verdict["outcome"] == ("reproduced" if distance <= allowed else "differs")
            assert (
                f"{distance:.{2 + (metric == 'mke')}f} {'<=' if distance <= allowed else '>'} "
                f"{allowed:.{2 + (metric == 'mke')}f} ("
            ) in verdict["text"]
            outcomes.add(verdict["outcome"])
    assert outcomes == {"reproduced", "differs"}


def test_every_comparison_with_the_best_and_what_is_bold(
    files: Any, tables: dict[str, Any]
) -> None:
    compared, best = [], {}
    for heading, (metric, slot) in COLUMNS.items():
        values = {place: read(files[place], metric, slot, by="patient") for place in PLACES}
        best[heading] = (max if metric == "dice" else min)(
            values, key=lambda place, own=values: own[place].mean()
        )
        first = values.pop(best[heading])
        for place, second in values.items():
            draws, p, _ = crossed(first, second)
            compared.append(
                (
                    heading,
                    place,
                    draws,
                    first.mean() - second.mean(),
                    p,
                    stats.wilcoxon(first.mean(0) - second.mean(0)).pvalue,
                )
            )
    adjusted, ranked = holm([one[4] for one in compared]), holm([one[5] for one in compared])
    bold = {(place, heading) for heading, place in best.items()}
    for (heading, place, draws, difference, p, wilcoxon), own, other in zip(
        compared, adjusted, ranked, strict=True
    ):
        found = shown(tables, "crossed-95", place, heading)["against_the_best"]
        numbers = [
            found[name]
            for name in (
                "difference",
                "low",
                "high",
                "p",
                "wilcoxon",
                "adjusted_p",
                "adjusted_wilcoxon",
            )
        ]
        assert numbers == pytest.approx(
            [difference, *np.percentile(draws, [2.5, 97.5]), p, wilcoxon, own, other],
            rel=1e-6,
            abs=1e-12,
        )
        bold |= {(place, heading)} if own > 0.05 else set()
    assert bold == {
        (place, heading)
        for place in PLACES
        for heading in COLUMNS
        if shown(tables, "crossed-95", place, heading)["bold"]
    }
    assert len(best) < len(bold) < len(PLACES) * len(COLUMNS)
