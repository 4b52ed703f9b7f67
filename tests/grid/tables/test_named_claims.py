"""Claims that a grid names: in a sentence each, where they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dice_rows import dice_at_ed
from scipy import stats

from echolm.errors import EchoLMError
from grid.definition.claimed_rows import check_claims
from grid.definition.claims import ClaimDefinition
from grid.definition.extra_tables import with_current
from grid.definition.tables import ColumnDefinition
from grid.statistics import compare
from grid.tables.compare import pair, selected
from grid.tables.named_claims import JudgedClaim, judged_claims_of

CLAIM = {
    "says": "gcn is better than mlp",
    "better": {"encoder": "tiny-r3d", "head": "gcn"},
    "than": [{"encoder": "tiny-r3d", "head": "mlp"}],
    "column": "Dice",
    "by": "recipe",
    "tables": {"paper": "main"},
}
BY_RECIPE = {"paper": (3.0, 3.2, 2.9), "code": (-3.0, -3.1, -3.0), "equal": (0.0, 1.5, -1.5)}
"""Recipe -> how far gcn is above mlp, seed by seed: it holds, is reversed, is undecided."""


DICE = ColumnDefinition(metric="dice", slot="ED", label="Dice")


def short(recipe: str, encoder: str, head: str, seed: int) -> str:
    """A cell's id. Files of predictions are named after the first letters."""
    return f"{recipe[0]}{encoder[5:]}{head[0]}{seed}"


@pytest.fixture
def unrun(grid: Any, cell: Callable[..., Any]) -> Any:
    """A grid of three values under the recipes of ``BY_RECIPE`` and another one."""
    cells = []
    for recipe in (*BY_RECIPE, "never run"):
        for encoder, head in (("tiny-r3d", "mlp"), ("tiny-r3d", "gcn"), ("tiny-mvit", "mlp")):
            for seed in range(3):
                labels = {"encoder": encoder, "head": head, "seed": str(seed), "recipe": recipe}
                cells.append(cell(short(recipe, encoder, head, seed), labels, (recipe,)))
    table = grid.tables["main"].model_copy(update={"columns": (DICE,), "spread": "crossed-95"})
    return replace(grid, cells=cells, tables=dict.fromkeys((*BY_RECIPE, "never run"), table))


@pytest.fixture
def three(unrun: Any, results: Any, patients: np.ndarray) -> Any:
    """The same with runs of ``BY_RECIPE``. The encoder tiny-mvit is as good as mlp."""
    noise = np.random.default_rng(5)
    for one in unrun.cells:
        labels = one.coordinates
        if labels["recipe"] not in BY_RECIPE:
            continue
        shift = 0.0
        if labels["head"] == "gcn":
            shift = BY_RECIPE[labels["recipe"]][int(labels["seed"])]
        values = patients + shift + noise.normal(0, 0.5, len(patients))
        results.run(one.id, table=dice_at_ed(values), synthetic=labels["recipe"] == "paper")
    return unrun


def judge(grid: Any, results: Any, **changes: Any) -> JudgedClaim:
    """Judge one claim, as the grid's definition says it but for some fields."""
    grid.claims = {"one": ClaimDefinition.model_validate(CLAIM | changes)}
    check_claims(grid, grid.claims)
    [judged] = judged_claims_of(grid, results.folder)
    return judged


def recipes(*names: str) -> dict[str, Any]:
    return {"tables": {name: name for name in names}}


def test_a_claim_holds_is_reversed_undecided_or_not_known(three: Any, results: Any) -> None:
    judged = judge(three, results, **recipes(*BY_RECIPE, "never run"))
    verdicts = {one.label: one.verdict for one in judged.verdicts}
    assert verdicts == {
        "paper": "holds",
        "code": "reversed",
        "equal": "undecided",
        "never run": "not known",
    }
    text = judged.sentence
    assert text.startswith("gcn is better than mlp in Dice: holds under recipe paper (+3.")
    assert (
        ", undecided under recipe equal (" in text and ", reversed under recipe code (-3." in text
    )
    assert "not known under recipe never run ('tiny-r3d, gcn': no complete run was coll" in text
    assert text.endswith(
        "95 % intervals over 60 patients and 3 seeds each; synthetic data (phantom)."
    )


def test_its_numbers_are_those_of_compare_and_of_a_paired_t_test(
    unrun: Any, results: Any, patients: np.ndarray
) -> None:
    """Where seeds are almost equal, the crossed interval is Student's over patients."""
    noise = np.random.default_rng(6)
    effect = noise.normal(1, 4, len(patients))
    means = {"gcn": np.zeros(len(patients)), "mlp": np.zeros(len(patients))}
    for head, total in means.items():
        for seed in range(3):
            values = patients + noise.normal(0, 0.05, len(patients))
            values += effect if head == "gcn" else 0.0
            total += values / 3
            results.run(short("never run", "tiny-r3d", head, seed), table=dice_at_ed(values))
    judged = judge(unrun, results, **recipes("never run"))
    [one] = judged.verdicts[0].pairs
    expected = stats.ttest_rel(means["gcn"], means["mlp"])
    low, high = expected.confidence_interval(0.95)
    assert one.advantage == pytest.approx((means["gcn"] - means["mlp"]).mean(), abs=1e-9)
    assert one.low is not None and one.low == pytest.approx(low, abs=0.05 * (high - low))
    assert one.high == pytest.approx(high, abs=0.05 * (high - low))

    chosen = [selected(unrun, f"recipe=never run,encoder=tiny-r3d,head={head}") for head in means]
    sides = pair(unrun, results.folder, chosen[0], chosen[1], DICE)
    found = compare(sides[0].resampled, sides[1].resampled)
    assert (one.advantage, one.low, one.high) == (found.difference, found.low, found.high)


def test_where_lower_is_better_plus_still_means_better(three: Any, results: Any) -> None:
    lower = DICE.model_copy(update={"better": "lower"})
    for name, table in three.tables.items():
        three.tables[name] = table.model_copy(update={"columns": (lower,)})
    judged = judge(three, results, **recipes("paper", "code"))
    paper, code = judged.verdicts
    assert (paper.verdict, code.verdict) == ("reversed", "holds")
    assert code.deciding.advantage is not None and code.deciding.advantage > 2.5
    assert code.deciding.low is not None and code.deciding.low < code.deciding.advantage


def test_of_several_pairs_the_weakest_decides_and_is_named(three: Any, results: Any) -> None:
    mvit = {"encoder": "tiny-mvit", "head": "mlp"}
    judged = judge(three, results, than=[*CLAIM["than"], mvit], **recipes("paper", "equal"))
    paper, equal = judged.verdicts
    assert (paper.verdict, equal.verdict) == ("holds", "undecided")
    assert paper.deciding.low == min(one.low for one in paper.pairs if one.low is not None)
    assert f"(least against {paper.deciding.other}: +" in judged.sentence
    assert f"(holds against 0 of 2, least against {equal.deciding.other}: " in judged.sentence


def test_columns_of_other_cells_are_not_asked_for(three: Any, results: Any) -> None:
    """A table may hold a statistic that the compared cells cannot have, of cells of its own."""
    dice = DICE.model_copy(update={"where": {"recipe": "paper"}})
    auc = ColumnDefinition(statistic="auc", where={"recipe": "equal"}, label="AUC")
    three.tables["both"] = three.tables["paper"].model_copy(update={"columns": (dice, auc)})
    for one in three.cells:
        if one.coordinates["recipe"] in ("paper", "equal"):
            one.tables = ("both",)
    assert judge(three, results, tables={"paper": "both"}).verdicts[0].verdict == "holds"


def test_recipes_that_share_their_cells_are_told_together(three: Any, results: Any) -> None:
    judged = judge(three, results, tables={"paper": "paper", "same": "paper"})
    assert "holds under recipe paper and same (the same cells; +3." in judged.sentence


def test_missing_seeds_and_other_counts_are_told(three: Any, results: Any) -> None:
    results.runs = [
        run for run in results.runs if run["cell"] != short("code", "tiny-r3d", "gcn", 2)
    ]
    results.save()
    judged = judge(three, results, **recipes("paper", "code"))
    text = judged.sentence
    assert "over 60 patients and 3 seeds each)" in text
    assert "over 60 patients alone (2 and 3 seeds))" in text
    assert "tiny-r3d, gcn without seed 2" in text


def test_its_facts_are_json(three: Any, results: Any) -> None:
    judged = judge(three, results, **recipes("paper", "never run"))
    document = json.loads(json.dumps(judged.facts(), allow_nan=False))
    paper, never = document["verdicts"]
    assert (document["claim"], paper["recipe"], paper["verdict"]) == ("one", "paper", "holds")
    assert paper["pairs"][0]["synthetic"] is True and paper["pairs"][0]["seeds"] == [3, 3]
    assert never["pairs"][0]["low"] is None and "no complete run" in never["pairs"][0]["why"]
    assert document["text"] == judged.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": {"paper": "mian"}}, "no table 'mian'"),
        ({"column": "Dise"}, "has no column 'Dise'"),
        ({"better": {"head": "gnc"}}, "has no row head=gnc"),
        ({"better": {"haed": "gcn"}}, "has no rows by 'haed'"),
        ({"better": {"head": "mlp"}}, "has several rows with head=mlp"),
        ({"than": [CLAIM["better"]]}, "is the row of better itself"),
        ({"better": {"encoder": "tiny-mvit", "head": "gcn"}}, "has no row with encoder=tiny-mvit"),
    ],
    ids=str,
)
def test_a_claim_of_nothing_is_refused(
    unrun: Any, results: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(EchoLMError, match="claims: one: ") as refused:
        judge(unrun, results, **{**recipes("paper"), **change})
    assert message in str(refused.value)


def test_a_launched_grid_has_the_claims_that_its_file_has_now(unrun: Any, tmp_path: Path) -> None:
    """One that needs cells that were not launched is left out."""
    table = unrun.tables["paper"].model_dump(mode="json")
    other = {**CLAIM, "better": {"encoder": "tiny-r3d", "head": "mean"}}
    claims = {"one": {**CLAIM, "tables": {"paper": "paper"}}, "other": other}
    path = tmp_path / "now.yaml"
    path.write_text(json.dumps({"tables": {"paper": table}, "claims": claims}))
    assert list(with_current(unrun, path).claims) == ["one"]
