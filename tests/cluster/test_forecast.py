"""Forecasts: from complete runs of a similar shape, else from FLOPs and a rate.

Units, slots and budgets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.device_rate import ASSUMED_FACTOR, CPU_TFLOPS, GPU_TFLOPS, DeviceRate
from cluster.forecast import Forecast, PlannedCell, forecast
from cluster.measured_rates import (
    ALONE_FACTOR,
    PAPER_HOURS,
    PRIOR,
    Finished,
    _frozen,
    cell_shape,
    finished_runs,
)
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace

BASE: dict[str, Any] = {
    "data": "echonet",
    "task": "landmarks",
    "encoder": "mvit-v2-s",
    "trainable": "all",
    "head": "mlp",
    "epochs": 100,
}


def config(**changes: Any) -> FinetuneConfig | PretrainConfig:
    return parse_config({**BASE, **changes})


def run(rate: float, gpus: int = 1, ranks: int = 1, **changes: Any) -> Finished:
    """A complete run of so many device-seconds a clip and epoch."""
    return Finished(cell_shape(config(**changes), gpus > 0, gpus or ranks), rate)


def one(*known: Finished, gpus: int = 1, clips: int = 1000, **changes: Any) -> Forecast:
    """The forecast of one cell."""
    return forecast([[PlannedCell(config(**changes), clips)]], lambda: known, 1, gpus=gpus)


def hours(cost: Forecast) -> float:
    assert cost.gpu_hours
    return cost.gpu_hours.mid


def flops_of(encoder: str) -> int:
    flops = config(encoder=encoder, weights="random").encoder.forward_flops
    assert flops
    return flops


@pytest.fixture
def undeclared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """R3D-18 declares no FLOPs, as an encoder of a plugin."""
    _frozen.cache_clear()
    monkeypatch.setattr(type(config(encoder="r3d-18").encoder), "forward_flops", None)
    yield
    _frozen.cache_clear()


class TestPrior:
    """Without complete runs."""

    @pytest.mark.parametrize("clips", PAPER_HOURS)
    def test_it_gives_the_papers_hours_back(self, clips: int) -> None:
        cost = one(clips=clips)
        assert cost.gpu_hours and cost.gpu_hours == cost.wall_hours
        assert hours(cost) == pytest.approx(PAPER_HOURS[clips], rel=0.15)
        assert cost.gpu_hours.low == pytest.approx(hours(cost) / ASSUMED_FACTOR)
        assert cost.gpu_hours.high == pytest.approx(hours(cost) * ASSUMED_FACTOR)
        assert cost.assumed == 1
        assert any("paper's hours on an A100" in line for line in cost.lines())

    def test_what_is_frozen_costs_less_down_to_a_third(self) -> None:
        costs = [hours(one(trainable=regime)) for regime in ("all", "k12", "k6", "k2", "k0")]
        assert costs == sorted(costs, reverse=True) and len(set(costs)) == 5
        assert costs[-1] == pytest.approx(costs[0] / 3)

    def test_the_assumed_rate_is_that_of_the_papers_hours(self) -> None:
        """The geometric mean of the four, at three passes of MViTv2-S."""
        flops = 3 * flops_of("mvit-v2-s")
        rates = [flops * clips * 100 / (3600 * hours) for clips, hours in PAPER_HOURS.items()]
        assert pytest.approx(math.prod(rates) ** 0.25 / 1e12, rel=0.02) == GPU_TFLOPS

    @pytest.mark.parametrize("encoder", ["r3d-18", "vit-b-16", "videomae-b", "tiny-mvit"])
    def test_encoders_cost_what_they_compute(self, encoder: str) -> None:
        """At least a millisecond a clip: reading is not free."""
        cost = one(encoder=encoder, weights="random")
        seconds = max(1e-3, 3 * flops_of(encoder) / (GPU_TFLOPS * 1e12))
        assert hours(cost) == pytest.approx(seconds * 1000 * 100 / 3600)

    def test_a_stated_rate_counts_and_is_said(self) -> None:
        unit = [[PlannedCell(config(), 1000)]]
        cost = forecast(unit, list, 1, gpus=1, device=DeviceRate(62.0))
        assert hours(cost) == pytest.approx(hours(one()) * GPU_TFLOPS / 62)
        [source] = cost.sources
        assert "the encoder's FLOPs at 62 TFLOP/s as stated, within a factor of 2" in source
        assert cost.assumed == 0

    def test_on_cpus_a_rank_has_the_rate_of_its_threads(self) -> None:
        unit = [[PlannedCell(config(), 1000)]]
        alone = forecast(unit, list, 1)
        four = forecast(unit, list, 1, device=DeviceRate(threads=4))
        assert alone.wall_hours and four.wall_hours
        seconds = 3 * flops_of("mvit-v2-s") / (CPU_TFLOPS * 1e12) * 1000 * 100
        assert alone.wall_hours.mid == pytest.approx(seconds / 3600)
        assert four.wall_hours.mid == pytest.approx(seconds / 3600 / 4)
        assert hours(alone) == 0 and alone.assumed == 1
        assert any("0.05 TFLOP/s (assumed of a CPU rank" in line for line in alone.lines())

    def test_an_encoder_without_flops_is_not_known_on_cpus(self, undeclared: None) -> None:
        """On a GPU the paper's hours are taken for it, whatever it is."""
        cost = one(gpus=0, encoder="r3d-18")
        assert (cost.gpu_hours, cost.wall_hours, cost.jobs) == (None, None, None)
        assert cost.unknown == 1
        assert any("not known for 1 cell" in line for line in cost.lines())
        cost.refuse(0)
        on_gpu = one(encoder="r3d-18")
        assert list(on_gpu.sources) == [PRIOR] and on_gpu.assumed == 1


class TestKnownRuns:
    """The nearest runs count."""

    def test_runs_of_the_same_shape(self) -> None:
        cost = one(
            run(1.0),
            run(3.0),
            run(2.0, head="gcn"),
            run(99.0, encoder="r3d-18"),
            run(99.0, trainable="k2"),
        )
        assert cost.gpu_hours
        per_unit = 1000 * 100 / 3600
        assert [cost.gpu_hours.low, hours(cost), cost.gpu_hours.high] == pytest.approx(
            [1 * per_unit, 2 * per_unit, 3 * per_unit]
        )
        assert list(cost.sources) == ["3 complete runs of the same shape"]

    def test_one_run_says_nothing_of_the_spread(self) -> None:
        cost = one(run(1.0))
        assert cost.gpu_hours and cost.gpu_hours.low == pytest.approx(hours(cost) / ALONE_FACTOR)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"epochs": 50}, "but for data or epochs"),
            ({"data": {"name": "echonet", "fraction": 0.1}}, "but for data or epochs"),
            ({"data": "other"}, "but for data or epochs"),
            ({"batch_size": 10}, "any batch size and GPUs"),
            ({"gpus": 4}, "any batch size and GPUs"),
            ({"augmentation": "bhoodoo2026"}, "with another augmentation"),
            ({"trainable": "k2"}, "another freezing"),
            ({"encoder": "r3d-18"}, "the paper's hours"),
            ({"gpus": 0}, "the paper's hours"),
        ],
        ids=str,
    )
    def test_the_nearest_fallback_is_said_and_is_wider(
        self, changes: dict[str, Any], words: str
    ) -> None:
        cost = one(run(1.0, **changes), run(1.1, **changes))
        assert cost.gpu_hours
        [source] = cost.sources
        assert words in source
        same = one(run(1.0), run(1.1)).gpu_hours
        assert same and cost.gpu_hours.high / cost.gpu_hours.low > same.high / same.low
        nearer = one(run(1.0, **changes), run(0.5))
        assert hours(nearer) == pytest.approx(0.5 * 1000 * 100 / 3600), (
            "a run of the same shape counts alone"
        )

    def test_another_freezing_is_scaled_by_passes(self) -> None:
        assert hours(one(run(1.0, trainable="k0"))) == pytest.approx(3 * 1000 * 100 / 3600)
        assert hours(one(run(3.0), trainable="k0")) == pytest.approx(1000 * 100 / 3600)

    def test_cost_follows_clips_and_the_epochs_that_are_left(self) -> None:
        known = [run(1.0)]
        full = hours(one(*known))
        assert hours(one(*known, clips=500)) == pytest.approx(full / 2)
        assert hours(one(*known, epochs=25)) == pytest.approx(full / 4)
        left = forecast([[PlannedCell(config(), 1000, epochs_done=75)]], lambda: known, 1, gpus=1)
        assert hours(left) == pytest.approx(full / 4)

    def test_more_gpus_take_less_time_for_the_same_gpu_hours(self) -> None:
        on_one, on_four = one(run(1.0), gpus=1), one(run(1.0), gpus=4)
        assert on_one.wall_hours and on_four.wall_hours
        assert hours(on_one) == pytest.approx(hours(on_four))
        assert on_four.wall_hours.mid == pytest.approx(on_one.wall_hours.mid / 4)

    def test_cpu_runs_give_time_but_no_gpu_hours(self) -> None:
        cost = forecast(
            [[PlannedCell(config(), 1000)]], lambda: [run(1.0, gpus=0)], 1, gpus=0, ranks=2
        )
        assert cost.wall_hours and cost.wall_hours.mid == pytest.approx(1000 * 100 / 2 / 3600)
        assert hours(cost) == 0
        assert not any("GPU-hours" in line for line in cost.lines())

    def test_what_is_not_known_is_left_out_and_told(self, undeclared: None) -> None:
        cells = [[PlannedCell(config(), 1000)], [PlannedCell(config(encoder="r3d-18"), 1000)]]
        cost = forecast(cells, lambda: [run(1.0, gpus=0)], 1)
        assert cost.unknown == 1
        assert cost.wall_hours
        assert cost.wall_hours.mid == pytest.approx(1000 * 100 / 3600)
        assert any("not known for 1 cell:" in line for line in cost.lines())


class TestUnits:
    """Cells of one unit share the trunk."""

    @given(
        regimes=st.lists(st.sampled_from(["k0", "k1", "k2", "k9", "k15"]), min_size=2, max_size=8)
    )
    def test_a_unit_costs_less_than_its_cells_and_more_than_each(self, regimes: list[str]) -> None:
        cells = [PlannedCell(config(trainable=regime), 1000) for regime in regimes]
        together = hours(forecast([cells], list, 1, gpus=1))
        alone = [hours(forecast([[cell]], list, 1, gpus=1)) for cell in cells]
        assert max(alone) < together < sum(alone)

    def test_a_frozen_encoder_is_nearly_free_for_further_cells(self) -> None:
        cell = PlannedCell(config(trainable="k0"), 1000)
        one, eight = (hours(forecast([[cell] * count], list, 1, gpus=1)) for count in (1, 8))
        assert eight == pytest.approx(one * (0.95 + 8 * 0.05))

    def test_cells_without_a_trunk_share_nothing(self) -> None:
        cell = PlannedCell(config(), 1000)
        alone = hours(forecast([[cell]], list, 1, gpus=1))
        assert hours(forecast([[cell, cell]], list, 1, gpus=1)) == pytest.approx(2 * alone)

    def test_a_run_that_was_trained_with_others_counts_as_if_alone(self, tmp_path: Path) -> None:
        values = config(trainable="k0").model_dump(mode="json")
        cell = PlannedCell(config(trainable="k0"), 1000)
        store(tmp_path, "a", values, {"seconds": 1350.0, "together": 8})
        runs = [*finished_runs(tmp_path)]
        assert hours(forecast([[cell] * 8], lambda: runs, 1, gpus=1)) == pytest.approx(1350 / 3600)
        assert hours(forecast([[cell]], lambda: runs, 1, gpus=1)) == pytest.approx(1000 / 3600)


class TestSlots:
    """Units one after another."""

    @given(clips=st.lists(st.integers(1, 50), min_size=1, max_size=12), slots=st.integers(1, 5))
    def test_the_wall_time_of_slots_that_take_the_next_unit_when_they_are_free(
        self, clips: list[int], slots: int
    ) -> None:
        cost = forecast(
            [[PlannedCell(config(epochs=36), 100 * count)] for count in clips],
            lambda: [run(1.0, epochs=36)],
            slots,
            gpus=1,
        )
        assert cost.wall_hours and hours(cost) == pytest.approx(sum(clips))
        ends = [0] * slots
        for count in clips:
            ends[ends.index(min(ends))] += count
        assert cost.wall_hours.mid == pytest.approx(max(ends))
        assert cost.waves == -(-len(clips) // slots)

    def test_jobs_that_follow_one_another_under_a_time_limit(self) -> None:
        cell = PlannedCell(config(epochs=36), 1000)
        cost = forecast([[cell], [cell]], lambda: [run(1.0, epochs=36)], 1, gpus=1, job_minutes=480)
        assert cost.wall_hours and cost.wall_hours.mid == pytest.approx(20)
        assert cost.jobs == 3 and any("3 jobs after one another" in line for line in cost.lines())

    def test_nothing_to_run(self) -> None:
        def never() -> list[Finished]:
            raise AssertionError("records are read for nothing")

        cost = forecast([], never, 4, gpus=1)
        assert cost.lines() == ["0 cells in 0 units, 4 jobs at once, 1 GPU each"]
        cost.refuse(0)


class TestTelling:
    """Text, data and the budget."""

    def cost(self) -> Forecast:
        cells = [[PlannedCell(config(epochs=36, seed=seed), 1000)] for seed in range(5)]
        return forecast(
            cells,
            lambda: [run(1.0, epochs=36), run(0.9, epochs=36), run(1.2, epochs=36)],
            2,
            gpus=1,
        )

    def test_lines(self) -> None:
        assert self.cost().lines(datetime(2026, 11, 24, 12, 0)) == [
            "5 cells in 5 units, 2 jobs at once, 1 GPU each",
            "50 GPU-hours (45 to 60)",
            "30 h (27 h to 36 h) in 3 waves, without waiting in the queue",
            "done about 2026-11-25 18:00 (between 2026-11-25 15:00 and 2026-11-26 00:00)"
            " if jobs start now",
            "from 3 complete runs of the same shape (5 cells)",
        ]

    def test_data(self) -> None:
        plain = json.loads(json.dumps(self.cost().plain()))
        assert plain["gpu_hours"] == pytest.approx({"low": 45, "mid": 50, "high": 60})
        assert (plain["cells"], plain["waves"], plain["unknown"]) == (5, 3, 0)
        assert plain["sources"] == {"3 complete runs of the same shape": 5}

    def test_a_budget(self) -> None:
        self.cost().refuse(50)
        with pytest.raises(EchoLMError) as caught:
            self.cost().refuse(39)
        for part in (
            "50 GPU-hours (45 to 60)",
            "--budget-gpu-hours 39",
            "3 cells of 5 would fit",
            "--where",
            "give --budget-gpu-hours 50",
        ):
            assert part in str(caught.value)
        with pytest.raises(EchoLMError, match="0 cells of 5"):
            self.cost().refuse(0)

    def test_what_fits_counts_cells_within_units(self) -> None:
        cell = PlannedCell(config(trainable="k0", epochs=36), 1000)
        cost = forecast(
            [[cell] * 8, [cell]], lambda: [run(1.0, trainable="k0", epochs=36)], 1, gpus=1
        )
        with pytest.raises(EchoLMError, match="4 cells of 9 would fit"):
            cost.refuse(10 * (0.95 + 4 * 0.05) + 0.1)


def store(runs: Path, name: str, values: dict[str, Any], summary: dict[str, Any]) -> None:
    """A complete record, as far as forecasts read it: 1,000 clips, 100 epochs, an A100."""
    folder = runs / name / "fingerprint"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": values}))
    plain = {
        "counts": {"train": 1000},
        "epochs": 100,
        "provenance": {"device": "NVIDIA A100"},
        "seconds": 1.0,
    }
    (folder / "summary.json").write_text(json.dumps({**plain, **summary}))


class TestRecords:
    """Complete runs as they are stored."""

    def test_runs_that_were_trained_here_are_found_by_their_shape(
        self, tiny: Path, tmp_path: Path
    ) -> None:
        """Two cells of a cohort, through the loop itself."""
        workspace = Workspace(tmp_path)
        workspace.store("echonet").parent.mkdir(parents=True)
        workspace.store("echonet").symlink_to(tiny / "store")
        values = {"encoder": "tiny-r3d", "trainable": "k1", "epochs": 1}
        cells = [config(**values, head=head) for head in ("mlp", "gcn")]
        prepared = [prepare_run(cell, workspace) for cell in cells]
        assert {outcome.state for outcome in fit(prepared)} == {"complete"}
        summary = prepared[0].record.summary()
        assert summary and (summary["ranks"], summary["together"]) == (1, 2)
        runs = [*finished_runs(workspace.runs)]
        assert [run.shape for run in runs] == [cell_shape(cells[0], False, 1)] * 2
        assert all(0 < run.rate < summary["seconds"] / 14 for run in runs)
        told = forecast([[PlannedCell(cell, 14) for cell in cells]], lambda: runs, 1)
        assert told.sources == {"2 complete runs of the same shape": 2}

    def test_what_cannot_be_read_is_left_out(self, tmp_path: Path) -> None:
        values = config().model_dump(mode="json")
        store(tmp_path, "good", values, {"seconds": 100.0, "ranks": 4})
        store(tmp_path, "no-time", values, {"seconds": 0.0})
        store(tmp_path, "no-device", values, {"provenance": {}})
        store(tmp_path, "unknown", {**values, "encoder": {"name": "somebodys-own"}}, {})
        store(tmp_path, "damaged", values, {})
        (tmp_path / "damaged" / "fingerprint" / "config.json").write_text("{")
        [only] = finished_runs(tmp_path)
        assert only == Finished(cell_shape(config(), True, 4), 4 * 100.0 / (1000 * 100))
        assert [*finished_runs(tmp_path / "nowhere")] == []
