"""The attentive probe: what it reads, and that its attention is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from echolm.config import parse_config
from echolm.encoders.base import Features
from echolm.errors import EchoLMError
from echolm.heads import HEADS
from echolm.heads.cross_attention import AttentiveProbe, CrossAttention
from echolm.training.member import Member
from echolm.training.trunk import Trunk

RUN = {
    "data": "phantom",
    "task": {"name": "regression", "target": "edv"},
    "trainable": "k0",
    "head": "attentive",
}


def features(batch: int, width: int) -> Features:
    return Features(pooled=torch.zeros(batch, 3), tokens=torch.randn(batch, 4, 2, 3, width))


@pytest.mark.parametrize("outputs", [(1,), (5,), (2, 40, 2)])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_shapes(batch: int, outputs: tuple[int, ...]) -> None:
    probe = HEADS.parse({"name": "attentive", "heads": 4}).build(16, outputs)
    assert probe(features(batch, 16)).shape == (batch, *outputs)


def test_attention_is_torch_s() -> None:
    """With the same weights, as ``nn.MultiheadAttention`` computes it."""
    ours, theirs = CrossAttention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    queries, tokens = torch.randn(3, 2, 16), torch.randn(3, 7, 16)
    expected, _ = theirs(queries, tokens, tokens)
    torch.testing.assert_close(ours(queries, tokens), expected)


def test_the_order_of_tokens_does_not_matter() -> None:
    probe = AttentiveProbe(16, 4, 32, (1,))
    given = features(2, 16)
    assert given.tokens is not None
    turned = Features(pooled=given.pooled, tokens=given.tokens.flip(1, 3))
    torch.testing.assert_close(probe(given), probe(turned))


def test_the_task_s_start_is_the_bias_of_its_last_layer() -> None:
    head = HEADS.parse("attentive")
    probe = head.build(16, (2,))
    head.begin(probe, torch.tensor([3.0, -1.0]))
    assert probe.last.bias.tolist() == [3.0, -1.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(("encoder", "width"), [("tiny-r3d", 64), ("tiny-mvit", 64)])
def test_it_reads_the_tokens_of_an_encoder(encoder: str, width: int) -> None:
    """The member of a run hands it Features, and its parameters alone train."""
    config = parse_config({**RUN, "encoder": encoder})
    network = config.encoder.build(None)
    cut = config.trainable.cut(config.encoder.blocks)  # type: ignore[union-attr]
    member = Member(config, network, cut, torch.device("cpu"))
    clips = torch.randn(2, 3, 16, 32, 32)
    outputs = member.model(Trunk(network, cut)(clips))
    assert outputs.shape == (2, 1)
    assert sum(p.numel() for p in member.parameters) == sum(
        p.numel() for p in AttentiveProbe(width, 8, 4 * width, (1,)).parameters()
    )


def test_tokens_may_be_wider_than_the_pooled_vector() -> None:
    config = parse_config({**RUN, "encoder": "echoprime"})
    assert (config.encoder.width, config.head_width) == (512, 768)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder": "none"}, "attentive needs tokens, which encoder none does not give"),
        (
            {"encoder": "tiny-r3d", "head": {"name": "attentive", "heads": 7}},
            "head.heads: 7 do not divide tokens of width 64; valid: 1, 2, 4, 8, 16",
        ),
        ({"encoder": "tiny-r3d", "head": {"name": "attentive", "heads": 0}}, "heads"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(EchoLMError, match=reason):
        parse_config({**RUN, **changes})
