"""keep: how much of its weights a complete run keeps, and what is told to who reads them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training_support import Fault, Reference, Result, config, record_of, train

from echolm.errors import EchoLMError
from echolm.kept_weights import Keep, halved
from echolm.predict.run_network import RunNetwork
from echolm.training.cohorts import Compute
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace

RUN = config(epochs=1)
NONE, HALF = Compute(keep="none"), Compute(keep="half")


def test_none_keeps_results_and_no_weights(workspace: Workspace, reference: Reference) -> None:
    whole = reference(RUN)
    [outcome] = train(workspace, RUN, compute=NONE)
    record = record_of(workspace, RUN)
    summary = record.summary()
    assert outcome.state == "complete" and summary
    assert summary["metrics"] == whole.metrics and summary["keep"] == "none"
    assert set(summary["files"]) == {"predictions.parquet"}
    assert record.file("predictions.parquet").is_file()
    assert not list(record.path.rglob("*.safetensors")) and not list(record.path.rglob("*.pt"))


def test_who_needs_weights_that_were_not_kept_is_told_what_helps(workspace: Workspace) -> None:
    [outcome] = train(workspace, RUN, compute=NONE)
    record = record_of(workspace, RUN)
    words = (
        rf"{record.path}: its weights were not kept \(keep: none\); to have them, delete that "
        rf"folder and train the cell again: echolm train {outcome.cell} --keep best"
    )
    with pytest.raises(EchoLMError, match=words):
        RunNetwork(record, workspace)
    with pytest.raises(EchoLMError, match=words):
        prepare_run(config(weights=f"run:{outcome.cell}"), workspace)


def test_half_is_the_same_run_with_weights_of_16_bits(
    workspace: Workspace, reference: Reference
) -> None:
    whole = reference(RUN)
    train(workspace, RUN, compute=HALF)
    record = record_of(workspace, RUN)
    summary = record.summary()
    assert summary and (summary["metrics"], summary["keep"]) == (whole.metrics, "half")
    kept = load_file(record.file("best.safetensors"))
    best = load_file(record_of(reference.workspace, RUN).file("best.safetensors"))
    floating = [name for name in best if best[name].is_floating_point()]
    assert floating and {kept[name].dtype for name in floating} == {torch.float16}
    network = RunNetwork(record, workspace)
    loaded = network.member.tensors()
    for name, tensor in best.items():
        assert loaded[name].dtype == tensor.dtype, "32 bits again"
        torch.testing.assert_close(loaded[name], tensor, rtol=2**-11, atol=2**-24)
    assert "16 bits a number (keep: half)" in network.trained_on.sentence
    undisturbed = RunNetwork(record_of(reference.workspace, RUN), reference.workspace)
    assert "16 bits" not in undisturbed.trained_on.sentence


def test_a_run_that_begins_with_half_says_so(workspace: Workspace) -> None:
    [outcome] = train(workspace, RUN, compute=HALF)
    follower = config(epochs=1, weights=f"run:{outcome.cell}")
    [then] = train(workspace, follower)
    record = record_of(workspace, follower)
    summary = record.summary()
    assert then.state == "complete" and summary and summary["first_weights"] == "half"
    sentence = RunNetwork(record, workspace).trained_on.sentence
    assert "which had been kept with 16 bits a number" in sentence


def test_what_is_kept_moves_no_key(workspace: Workspace) -> None:
    """Whatever a launch keeps, the run is the same, and a complete one is not trained again."""
    before = prepare_run(RUN, workspace).keys
    for compute in (NONE, HALF, Compute()):
        [outcome] = train(workspace, RUN, compute=compute)
        assert outcome.state == "complete"
        assert prepare_run(RUN, workspace).keys == before
    record = record_of(workspace, RUN)
    assert record.attempts() == [1]
    with pytest.raises(ValueError, match="all"):
        train(workspace, config(epochs=2), compute=Compute(keep="all"))


def test_a_run_that_is_interrupted_keeps_what_its_last_launch_says(
    workspace: Workspace, reference: Reference
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Fault("echolm.training.feed:ClipFeed.__call__", 2, "SIGTERM").install(patch.setattr)
        assert train(workspace, RUN, compute=NONE)[0].state == "interrupted"
    train(workspace, RUN)
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50))
def test_halved_numbers_are_the_nearest(numbers: list[float]) -> None:
    tensor = torch.tensor(numbers)
    half = halved({"a": tensor})["a"]
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), tensor, rtol=2**-11, atol=2**-25)


def test_what_16_bits_cannot_hold() -> None:
    """Large numbers are bfloat16, integers and what has 16 bits already stay."""
    tensors = {
        "large": torch.tensor([1e30, 1.0]),
        "count": torch.tensor(70_000),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "infinite": torch.tensor([torch.inf, torch.nan]),
    }
    kept = halved(tensors)
    assert kept["large"].dtype == torch.bfloat16 and kept["large"].isfinite().all()
    assert kept["count"] == 70_000 and kept["half"].dtype == torch.bfloat16
    assert kept["infinite"].dtype == torch.float16 and kept["infinite"][1].isnan()


def test_what_keeps_more() -> None:
    assert Keep.NONE.most(Keep.HALF) == Keep.HALF == Keep.HALF.most(Keep.NONE)
    assert Keep.BEST.most(Keep.HALF) == Keep.BEST
