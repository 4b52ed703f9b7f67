"""Fusions of all tokens: gated attention, mean, maximum."""

from __future__ import annotations

import pytest
import torch

from echolm.config import parse_config
from echolm.encoders import ENCODERS
from echolm.encoders.base import Features
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS

ENCODER = ENCODERS.parse("tiny-videomae")


def tokens() -> torch.Tensor:
    return torch.randn(3, 8, 4, 4, 64, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("name", ["gated-attention", "token-pooling"])
def test_they_read_tokens_in_any_order_and_number(name: str) -> None:
    """Those of a masked clip are B x M x D."""
    fusion = FUSIONS.parse(name)
    module, given = fusion.build(ENCODER).double(), tokens()
    whole = module(Features(given[:, 0, 0, 0], tokens=given))
    assert whole.shape == (3, fusion.width(ENCODER)) == (3, 64)
    listed = given.flatten(1, 3)
    shuffled = listed[:, torch.randperm(128)]
    torch.testing.assert_close(module(Features(whole, tokens=shuffled)), whole)
    assert module(Features(whole, tokens=listed[:, :9])).shape == (3, 64)


def test_mean_and_maximum_over_tokens() -> None:
    given = tokens()
    expected = {"mean": given.mean((1, 2, 3)), "max": given.flatten(1, 3).max(1).values}
    for pooling, vectors in expected.items():
        module = FUSIONS.parse({"name": "token-pooling", "pooling": pooling}).build(ENCODER)
        torch.testing.assert_close(module(Features(given[:, 0, 0, 0], tokens=given)), vectors)


def test_gated_attention_is_its_formula() -> None:
    module = FUSIONS.parse({"name": "gated-attention", "hidden": 5}).build(ENCODER).double()
    given = tokens().flatten(1, 3)
    content, gate, score = (parameter.detach() for parameter in module.parameters())
    assert content.shape == gate.shape == (5, 64) and score.shape == (1, 5)
    scores = (torch.tanh(given @ content.T) / (1 + torch.exp(-given @ gate.T))) @ score[0]
    shares = scores.exp() / scores.exp().sum(1, keepdim=True)
    torch.testing.assert_close(module.weights(given), shares)
    torch.testing.assert_close(
        module(Features(given[:, 0], tokens=given)), torch.einsum("bn,bnd->bd", shares, given)
    )
    with torch.device("meta"):
        full = FUSIONS.parse("gated-attention").build(ENCODERS.parse("videomae-b"))
    assert sum(parameter.numel() for parameter in full.parameters()) == 1_573_888


def test_a_fusion_that_no_head_reads_is_refused_where_it_is_typed() -> None:
    run = {"data": "d", "task": "landmarks", "trainable": "k0", "encoder": "tiny-videomae"}
    unused = {**run, "head": "attentive", "fusion": "stf-net"}
    with pytest.raises(EchoLMError, match="stf-net: head attentive reads tokens of the encoder"):
        parse_config(unused, typed=True)
    assert parse_config(unused), "a stored run is read"
    for fusion in ("pooled", None):
        fields = {"fusion": fusion} if fusion else {}
        parse_config({**run, "head": "attentive", **fields}, typed=True)
