"""How a run is computed: precision and compiler. No key has it, records do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from training_support import Fault, Result, config, record_of, states, train

from echolm.arithmetic import NO_TF32, PRECISIONS, Arithmetic, describe_all, in_float32
from echolm.heads import HEADS
from echolm.training.cohorts import Compute
from echolm.training.feed import open_feed
from echolm.training.member import Member
from echolm.training.prepare import prepare_run
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

CPU = torch.device("cpu")
BF16 = Compute(arithmetic=Arithmetic("bf16"))
MLP = {"name": "mlp", "width": 16}
SMALL_DECODER = {"name": "masked-autoencoder", "decoder_width": 32, "decoder_depth": 1}


def started(workspace: Workspace, run: Any, attempt: int = 1) -> dict[str, Any]:
    """The event of an attempt's start."""
    events = record_of(workspace, run).events(attempt)
    return next(event for event in events if event["event"] == "started")


def test_plain_records_are_as_they_were(workspace: Workspace) -> None:
    run = config(epochs=1)
    train(workspace, run)
    record = record_of(workspace, run)
    assert not {"precision", "compile"} & set(started(workspace, run))
    assert "arithmetic" not in (record.summary() or {})
    assert record.arithmetic() == [{}] and describe_all(record.arithmetic()) == "fp32"


def test_bf16_is_recorded_and_in_no_key(workspace: Workspace) -> None:
    """It trains what fp32 trains, differently, with weights in fp32."""
    run = config()
    [outcome] = train(workspace, run, compute=BF16)
    record = record_of(workspace, run)
    assert outcome.state == "complete" and started(workspace, run)["precision"] == "bf16"
    assert (record.summary() or {})["arithmetic"] == "bf16"
    assert "bf16" not in json.dumps(record.identity())
    assert "bf16" not in json.dumps(run.model_dump(mode="json"))


def test_bf16_reads_no_memory_that_nobody_has_written() -> None:
    """As oneDNN's gradients of small 3D convolutions do, where that memory holds what is no number.

    It is on CPUs alone.
    """

    def leave_nan() -> None:
        tensors = []
        for size in [10**power for power in range(1, 7)] * 6:
            tensors.append(torch.full((size,), float("nan")))
        tensors.clear()

    for _ in range(5):
        convolution = torch.nn.Conv3d(32, 32, 3, padding=1)
        clip = torch.randn(5, 32, 2, 4, 4, requires_grad=True)
        with Arithmetic("bf16").autocast(CPU):
            out = convolution(clip)
        leave_nan()
        with Arithmetic("bf16").backward(CPU):
            out.float().square().mean().backward()
        assert convolution.weight.grad is not None and clip.grad is not None
        assert convolution.weight.grad.isfinite().all() and clip.grad.isfinite().all()
    assert torch.backends.mkldnn.enabled


def test_bf16_learns_about_what_fp32_learns(workspace: Workspace) -> None:
    """Losses of the first step agree to bfloat16's 8 bits, and are not the same."""
    losses = {}
    for precision in PRECISIONS:
        arithmetic = Arithmetic(precision)
        run = prepare_run(config(augmentation="none"), workspace)
        network = first_network(run, CPU)
        feed = open_feed(run, network, 0, CPU, arithmetic)
        member = Member(run.config, network, 0, CPU, arithmetic)
        member.train(True)
        batch, state = feed(np.arange(4), 0)
        parts = member.losses(state, batch, feed.keys[:4], 0, 0)
        parts["loss"].sum().backward()
        losses[precision] = parts["loss"].detach()
        assert losses[precision].dtype == torch.float32
        for parameter in member.parameters:
            assert parameter.dtype == torch.float32
            assert parameter.grad is not None and parameter.grad.dtype == torch.float32
    assert torch.equal(losses["tf32"], losses["fp32"])
    assert not torch.equal(losses["bf16"], losses["fp32"])
    torch.testing.assert_close(losses["bf16"], losses["fp32"], rtol=0.1, atol=1e-3)


def test_every_head_takes_bf16_features(workspace: Workspace) -> None:
    """All of them in a cohort, which passes the clips through the encoder once."""
    heads = [name for name in HEADS.names() if not name.startswith("toy")]
    plain = {"epochs": 1, "trainable": "k0", "augmentation": "none"}
    runs = [config(head=head, **plain) for head in heads]
    ended = train(workspace, *runs, compute=BF16)
    told = {head: (run.state, run.detail) for head, run in zip(heads, ended, strict=True)}
    assert told == dict.fromkeys(heads, ("complete", ""))


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "tiny-mvit", "trainable": "k1"},
        {"kind": "pretrain", "encoder": "tiny-videomae", "objective": SMALL_DECODER},
    ],
    ids=["mvit", "masked autoencoder"],
)
def test_transformers_and_objectives_in_bf16(changes: dict[str, Any], workspace: Workspace) -> None:
    [outcome] = train(workspace, config(**changes, epochs=1), compute=BF16)
    assert outcome.state == "complete", outcome.detail


def test_tf32_on_a_cpu_is_fp32_and_the_log_says_so(workspace: Workspace) -> None:
    run = config(epochs=1)
    train(workspace, run, compute=Compute(arithmetic=Arithmetic("tf32")))
    record = record_of(workspace, run)
    assert "precision" not in started(workspace, run)
    assert NO_TF32 in (record.attempt_path(1) / "log.txt").read_text()
    assert Arithmetic("tf32").on(torch.device("cuda")).facts == {"precision": "tf32"}


def test_a_run_that_goes_on_another_way_says_both(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config()
    with monkeypatch.context() as patch:
        Fault("echolm.training.steps:OptimiserSteps.take", 2, "SIGTERM").install(patch.setattr)
        train(workspace, run, compute=BF16)
    assert states(train(workspace, run)) == ["complete"]
    record = record_of(workspace, run)
    assert record.arithmetic() == [{"precision": "bf16"}, {}]
    assert (record.summary() or {})["arithmetic"] == "bf16, then fp32"


def test_switches_are_put_back() -> None:
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [place.fp32_precision for place in places]
    for precision, value in (("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")):
        with pytest.raises(ZeroDivisionError), Arithmetic(precision).switches():  # type: ignore[arg-type]
            assert [place.fp32_precision for place in places] == [value] * 3
            raise ZeroDivisionError
        assert [place.fp32_precision for place in places] == before


def test_outputs_of_any_form_come_in_float32() -> None:
    low = torch.ones(2, dtype=torch.bfloat16)
    numbers = torch.arange(2)
    outputs = in_float32({"a": low, "b": (low, [numbers])})
    assert outputs["a"].dtype == outputs["b"][0].dtype == torch.float32
    assert outputs["b"][1][0] is numbers
    double = torch.ones(2, dtype=torch.float64)
    assert in_float32(double) is double


def test_a_compiled_run_computes_the_same(
    workspace: Workspace, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout by key, which is left out of the graphs, and a trunk. Weights keep their names.

    The graphs are run as they were taken: fusing them takes a compiler a minute.
    """
    run = config(head={**MLP, "dropout": 0.5}, trainable="k2")
    expected = reference(run)
    compiled = torch.compile
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def compile_with_it(model: Any, **options: Any) -> Any:
        return compiled(model, backend=backend)

    monkeypatch.setattr(torch, "compile", compile_with_it)
    compute = Compute(arithmetic=Arithmetic(compile=True))
    [outcome] = train(workspace, run, compute=compute)
    assert outcome.state == "complete", outcome.detail
    assert graphs
    record = record_of(workspace, run)
    assert (record.summary() or {})["arithmetic"] == "fp32, compiled"
    cost = (record.summary() or {})["cost"]
    assert cost["flops"] == (record_of(reference.workspace, run).summary() or {})["cost"]["flops"]
    assert Result.of(record).metrics == pytest.approx(expected.metrics, rel=1e-4)
