"""Which items a run uses: those that it asks for, that have what it needs, and a part of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_support import changed_store, without
from training_support import config, prepare_run, record_of, train

from echolm.config import Data
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.training.prepare import left_out_line
from echolm.training.selection import ItemValues, select_rows, subset_rows
from echolm.workspace import Workspace

EF: dict[str, Any] = {"task": "toy-ef-of-clip", "head": "mlp", "data": "other", "epochs": 1}
fractions = st.sampled_from([0.001, 0.1, 0.25, 0.5, 0.77, 0.99])


def items(patients: list[int]) -> list[Any]:
    """Samples of these patients."""
    return [
        SimpleNamespace(sample=f"s{number:03d}", patient=f"p{patient}")
        for number, patient in enumerate(patients)
    ]


def part(patients: list[int], split: str = "train", **data: Any) -> list[int]:
    """Rows of a split that is a part of these."""
    rows = np.arange(len(patients))
    return subset_rows(items(patients), rows, Data(name="x", **data), split).tolist()  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), fractions)
def test_patients_are_drawn_with_all_of_their_samples(patients: list[int], fraction: float) -> None:
    rows = part(patients, by="patient", fraction=fraction)
    chosen = {patients[row] for row in rows}
    assert len(chosen) == max(1, int(fraction * len(set(patients)) + 1e-9))
    assert rows == [row for row, patient in enumerate(patients) if patient in chosen]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.sampled_from(["sample", "patient"]))
def test_parts_are_nested_in_the_fraction(patients: list[int], by: str) -> None:
    parts = [set(part(patients, by=by, fraction=f)) for f in (0.1, 0.25, 0.5, 0.77, 1.0)]
    assert all(small <= large for small, large in pairwise(parts))
    assert len(parts[-1]) == len(patients)


def test_the_fraction_of_train_leaves_val_whole() -> None:
    patients = list(range(20))
    assert len(part(patients, "train", of="train", fraction=0.5)) == 10
    assert len(part(patients, "val", of="train", fraction=0.5)) == 20
    assert len(part(patients, "val", fraction=0.5)) == 10
    assert part(patients, of="train", fraction=0.5) == part(patients, fraction=0.5)


def test_patients_and_samples_are_other_draws_than_those_of_another_seed() -> None:
    patients = [number // 2 for number in range(60)]
    by_seed = [part(patients, by="patient", fraction=0.5, subset_seed=seed) for seed in (0, 1)]
    assert by_seed[0] != by_seed[1] and len(by_seed[0]) == len(by_seed[1]) == 30


def views(row: dict[str, Any]) -> dict[str, Any]:
    """A view of each item, a quality of most, and nothing else new."""
    number = int(row["frames"][0]) + len(row["sample"]) + sum(map(ord, row["sample"]))
    quality = ["Good", "Poor", None][number % 3]
    return row | {"view": "2CH" if number % 2 else "4CH", "quality": quality, "grade": number % 3}


@pytest.fixture
def other(workspace: Workspace, whole: Path) -> Workspace:
    """A workspace with a store ``other`` of several views."""
    changed_store(whole, workspace.store("other"), views)
    return workspace


def expected(store: ClipStore, split: str, **values: Any) -> list[int]:
    """Rows whose items have the values."""
    rows = []
    for row in store.split(split):
        item = store.items[row]
        if all(item.values[name] in allowed for name, allowed in values.items()):
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ({"view": "2CH"}, {"view": ["2CH"]}),
        ({"quality": ["Good", "Poor"]}, {"quality": ["Good", "Poor"]}),
        ({"view": ["4CH", "A4C"], "grade": 0.0}, {"view": ["4CH"], "grade": [0]}),
    ],
    ids=str,
)
def test_where_keeps_the_items_with_these_values_in_every_split(
    where: dict[str, Any], values: dict[str, Any], other: Workspace
) -> None:
    run = config(**{**EF, "clip": "uniform", "data": {"name": "other", "where": where}})
    store = ClipStore.open(other.store("other"))
    counts = Counter(item.values["view"] for item in store.items)
    assert set(counts) == {"2CH", "4CH"}
    wanted = {split: expected(store, split, **values) for split in ("train", "val", "test")}
    if not all(wanted.values()):
        with pytest.raises(EchoLMError, match="no sample in split"):
            prepare_run(run, other)
        return
    assert prepare_run(run, other).left_out == {}
    rows = select_rows(store, run).rows
    assert {split: found.tolist() for split, found in rows.items()} == wanted
    half = config(
        **{
            **EF,
            "clip": "uniform",
            "data": {"name": "other", "where": where, "fraction": 0.5},
        }
    )
    rows = select_rows(store, half).rows
    assert len(rows["train"]) == max(1, len(wanted["train"]) // 2)
    assert set(rows["train"].tolist()) <= set(wanted["train"])
    assert rows["test"].tolist() == wanted["test"]


BANDS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "below": ({"grade": "<1"}, lambda values: values["grade"] < 1),
    "up to": ({"grade": "<=1"}, lambda values: values["grade"] <= 1),
    "above": ({"grade": ">1"}, lambda values: values["grade"] > 1),
    "from": ({"grade": ">= 1"}, lambda values: values["grade"] >= 1),
    "between": ({"grade": "0-2"}, lambda values: 0 <= values["grade"] < 2),
    "two ends": ({"grade": ["<1", ">1"]}, lambda values: values["grade"] != 1),
    "a number as text": ({"grade": "2"}, lambda values: values["grade"] == 2),
    "a range or a number": ({"grade": ["<1", 2]}, lambda values: values["grade"] in (0, 2)),
    "not known": ({"quality": "unknown"}, lambda values: values["quality"] is None),
    "a label or not known": (
        {"quality": ["Good", "unknown"]},
        lambda values: values["quality"] in ("Good", None),
    ),
    "a text of the store that is spelled as a range": (
        {"stage": "60-75"},
        lambda values: values["stage"] == "60-75",
    ),
}


@pytest.mark.parametrize("name", BANDS)
def test_where_takes_the_ranges_of_subgroups(name: str, workspace: Workspace, whole: Path) -> None:
    def with_stage(row: dict[str, Any]) -> dict[str, Any]:
        values = views(row)
        return values | {"stage": "60-75" if values["grade"] == 1 else "early"}

    changed_store(whole, workspace.store("other"), with_stage)
    where, is_asked_for = BANDS[name]
    run = config(**{**EF, "clip": "uniform", "data": {"name": "other", "where": where}})
    store = ClipStore.open(workspace.store("other"))
    wanted = {}
    for split in ("train", "val", "test"):
        values_of = {row: store.items[row].values for row in store.split(split)}
        wanted[split] = [row for row, values in values_of.items() if is_asked_for(values)]
    assert any(wanted.values())
    if not all(wanted.values()):
        with pytest.raises(EchoLMError, match="no sample in split"):
            select_rows(store, run)
        return
    rows = select_rows(store, run).rows
    assert {split: found.tolist() for split, found in rows.items()} == wanted


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"veiw": "2CH"}, "data.where: no item has a value 'veiw'; did you mean 'view'"),
        ({"view": "5CH"}, "data.where: no item has view 5CH; the store has 2CH, 4CH"),
        ({"view": "<60"}, "data.where: view: '<60' is a range, and view is a text: 2CH, 4CH"),
        ({"grade": "high"}, "data.where: grade: 'high' is no number, and grade is one; write <60"),
        ({"grade": ">90"}, "data.where: no item has grade >90; the store has 0, 1, 2"),
        ({"landmarks_ed": 1}, "landmarks_ed are points, which cannot be compared"),
        ({"view": "2CH", "sample": "x"}, "no item has a value 'sample'"),
    ],
    ids=str,
)
def test_where_that_names_what_is_not_there_is_blocked(
    where: dict[str, Any], message: str, other: Workspace
) -> None:
    """As the run is planned, and in the same words where a store is opened."""
    run = config(**{**EF, "clip": "uniform", "data": {"name": "other", "where": where}})
    with pytest.raises(EchoLMError, match=message) as caught:
        prepare_run(run, other)
    with pytest.raises(EchoLMError) as again:
        select_rows(ClipStore.open(other.store("other")), run)
    assert str(caught.value) == str(again.value)


def is_odd(row: dict[str, Any]) -> bool:
    return sum(map(ord, row["sample"])) % 3 == 0


TRACED = ("ed", "es", "landmarks_ed", "landmarks_es")


@pytest.fixture
def untraced(workspace: Workspace, whole: Path) -> Workspace:
    """A workspace with a store ``other`` of which some items have no tracings."""
    changed_store(whole, workspace.store("other"), without(*TRACED, of=is_odd))
    return workspace


def test_one_store_serves_landmarks_and_ejection_fraction(untraced: Workspace) -> None:
    """Items without tracings are left out of one, counted, and used by the other."""
    store = ClipStore.open(untraced.store("other"))
    lacking = Counter(item.split for item in store.items if item.values["ed"] is None)
    assert sum(lacking.values()) >= 3
    landmarks = config(data="other", epochs=1)
    prepared = prepare_run(landmarks, untraced)
    assert prepared.left_out == dict(lacking)
    assert left_out_line(prepared).endswith(
        "without landmarks_ed and landmarks_es, which landmarks needs, and ed and es, which clip "
        "ed-to-es needs"
    )
    uniform = config(**{**EF, "clip": "uniform"})
    assert prepare_run(uniform, untraced).left_out == {}
    [first], [second] = train(untraced, landmarks), train(untraced, uniform)
    assert (first.state, second.state) == ("complete", "complete"), (first, second)
    summary = record_of(untraced, landmarks).summary() or {}
    whole = record_of(untraced, uniform).summary() or {}
    for split, count in whole["counts"].items():
        assert summary["counts"][split] == count - lacking[split]
        assert summary["left_out"][split] == lacking[split]
    assert sum(whole["counts"].values()) == len(store.items)


def test_a_run_that_chooses_its_frames_itself_needs_none_of_the_clips_values(
    workspace: Workspace, whole: Path
) -> None:
    """A task of a plugin from before clips were: it returns frames, and names no clip rule."""
    changed_store(whole, workspace.store("other"), without("es", of=is_odd))
    from echolm.tasks import TASKS, Sample

    original = TASKS.get("toy-ef").prepare

    def first_frames(self: Any, item: Any, frames: int) -> Sample:
        complete = SimpleNamespace(values={**item.values, "ed": 0, "es": frames - 1})
        return original(self, complete, frames)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASKS.get("toy-ef"), "prepare", first_frames)
        run = config(**{**EF, "task": "toy-ef"})
        assert prepare_run(run, workspace).left_out == {}
        [outcome] = train(workspace, run)
        assert outcome.state == "complete", outcome
        other = config(**{**EF, "task": "toy-ef", "clip": "uniform"})
        [outcome] = train(workspace, other)
    assert outcome.state == "failed"
    assert "toy-ef chooses its frames itself, so clip uniform would change" in outcome.detail


def test_a_store_of_which_no_item_has_ed_and_es_names_the_clip_to_take(
    workspace: Workspace, whole: Path
) -> None:
    changed_store(whole, workspace.store("other"), without("ed", "es", of=lambda row: True))
    with pytest.raises(EchoLMError) as caught:
        prepare_run(config(**EF), workspace)
    assert str(caught.value) == (
        f"{workspace.store('other')}: no run can be trained on it: no sample in split train has ed "
        "and es, which clip ed-to-es needs; choose frames without them: clip: uniform"
    )
    with pytest.raises(EchoLMError, match="clip ed-to-es needs; name another store in data"):
        prepare_run(config(data="other"), workspace)


def test_a_split_that_lacks_the_target_is_told(workspace: Workspace, whole: Path) -> None:
    def of_val(row: dict[str, Any]) -> bool:
        return bool(row["split"] == "val")

    changed_store(whole, workspace.store("other"), without("ef", of=of_val))
    with pytest.raises(EchoLMError) as caught:
        prepare_run(config(**{**EF, "clip": "uniform"}), workspace)
    assert "no sample in split val has ef, which toy-ef-of-clip needs; name another" in str(
        caught.value
    )


def test_a_store_of_other_frames_says_to_take_those_that_it_holds(
    workspace: Workspace, tiny: Path, whole: Path
) -> None:
    changed_store(whole, workspace.store("other"), dict, clips="uniform-16")
    with pytest.raises(EchoLMError) as caught:
        prepare_run(config(**EF), workspace)
    assert (
        "does not hold the frames of clip ed-to-es that toy-ef-of-clip is learned from: it was "
        "prepared by clip rule uniform-16; take frames that it holds (clip: uniform), or prepare "
        "another store" in str(caught.value)
    )
    for clip in ("uniform", {"name": "window", "period": 2}):
        run = config(**{**EF, "data": "tiny", "clip": clip})
        with pytest.raises(EchoLMError, match="prepared by clip rule ed-to-es-16.*--clips all"):
            prepare_run(run, workspace)


def test_the_index_says_what_the_opened_store_says(untraced: Workspace) -> None:
    path = untraced.store("other")
    wanted = {"ef", "ed", "landmarks_ed", "nothing"}
    read = ItemValues.of_index(path, wanted)
    opened = ItemValues.of_store(ClipStore.open(path), wanted)
    assert (read.splits, dict(read.columns)) == (opened.splits, dict(opened.columns))
    assert set(read.names) == set(opened.names) and set(read.columns) == wanted - {"nothing"}
