"""EchoFM's objective: masks, targets, triplets and cycle term, each against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echolm.clips import CLIPS
from echolm.config import PretrainConfig, parse_config
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.objectives import OBJECTIVES
from echolm.objectives import echofm_contrast as contrast
from echolm.objectives.echofm import EchoFM
from echolm.objectives.echofm_network import EchoFMOutputs, EchoFMPretraining, target_frames
from echolm.objectives.masks import Masks
from echolm.randomness import sample_keys, to_tensor
from echolm.tasks import Batch
from echolm.tasks.goal import WholeBatch
from echolm.training.keyed_dropout import Keys

SMALL = {"decoder_width": 32, "decoder_depth": 1}


def objective(**fields: Any) -> EchoFM:
    """The objective."""
    made = OBJECTIVES.parse({"name": "echofm", **fields})
    assert isinstance(made, EchoFM)
    return made


def keyed(*samples: str) -> Keys:
    """Keys of samples."""
    keys = Keys()
    keys.current = to_tensor(sample_keys(list(samples)))
    return keys


def network(keys: Keys, encoder: str = "tiny-echofm", **fields: Any) -> EchoFMPretraining:
    """The network of the objective around an encoder."""
    declared = ENCODERS.parse(encoder)
    made = objective(**{**SMALL, **fields}).build_for(declared, declared.build(None), keys)
    assert isinstance(made, EchoFMPretraining)
    return made


def pretraining(encoder: str = "tiny-echofm", clip: Any = "window", **fields: Any) -> Any:
    """A pretraining by the objective."""
    plain = {"kind": "pretrain", "data": "d", "encoder": encoder, "clip": clip}
    made = parse_config({**plain, "objective": {"name": "echofm", **SMALL, **fields}})
    assert isinstance(made, PretrainConfig)
    return made


def beating(samples: int, period: float, side: int = 32) -> Tensor:
    """Clips of a disk that grows and shrinks: B x 3 x 32 x side x side."""
    time = torch.arange(32)[None, :, None, None]
    phase = torch.arange(samples)[:, None, None, None]
    radius = side / 4 + side / 8 * torch.sin(2 * torch.pi * (time + phase) / period)
    place = torch.arange(side) - side / 2
    distance = (place[:, None].square() + place[None, :].square()).sqrt()
    gray = torch.sigmoid(radius - distance[None, None])
    return gray[:, None].expand(-1, 3, -1, -1, -1)


def batch_of(clips: Tensor, whole: WholeBatch | None = None) -> Batch:
    """A batch without items."""
    return Batch([], clips, torch.zeros(len(clips), 0, 2), {}, whole=whole)


def test_parameters_are_those_of_the_authors() -> None:
    encoder = ENCODERS.parse("echofm-l")
    with torch.device("meta"):
        made = objective().build_for(encoder, encoder.build(None), Keys())
    parts = (made.encoder, made.projector, made.decoder)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [305_669_120, 12_599_296, 26_244_864]
    assert sum(parameter.numel() for parameter in made.parameters()) == 344_513_280


def test_the_same_49_of_196_places_are_seen_in_all_slots() -> None:
    masked, visible = Masks("tube", objective().ratio, (8, 14, 14), keyed("a", "b"))(2)
    assert visible.shape == (2, 392) and masked.shape == (2, 1_176)
    by_slot = visible.view(2, 8, 49)
    assert torch.equal(by_slot % 196, by_slot[:, :1] % 196 + torch.zeros(8, 1).long())
    assert torch.equal(by_slot // 196, torch.arange(8)[None, :, None].expand(2, -1, 49))
    assert not torch.equal(visible[0], visible[1])


def test_eight_of_32_frames_are_predicted_one_in_each_slot() -> None:
    frames = target_frames(32, 8)
    assert frames == tuple(torch.linspace(0, 31, 8).long().tolist())
    assert [frame // 4 for frame in frames] == list(range(8))


def test_targets_are_the_normalised_pixels_of_the_masked_cubes() -> None:
    made = network(keyed("a", "b"))
    clips = torch.rand(2, 3, 32, 32, 32)
    outputs = made(clips)
    assert outputs.predicted.shape == outputs.target.shape == (2, 96, 192)
    assert outputs.slots.shape == (2, 8, 64)
    place = int(outputs.masked[1, 20])
    time, space = divmod(place, 16)
    row, column = divmod(space, 4)
    frame = clips[1, :, target_frames(32, 8)[time]]
    cube = frame[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].permute(1, 2, 0).flatten()
    expected = (cube - cube.mean()) / (cube.var() + 1e-6).sqrt()
    torch.testing.assert_close(outputs.target[1, 20], expected)


def test_slots_know_of_the_visible_pixels_of_all_slots_alone() -> None:
    made = network(keyed("a"))
    clips = torch.rand(1, 3, 32, 32, 32, requires_grad=True)
    outputs = made(clips)
    (outputs.slots.square() * torch.rand(8, 64)).sum().backward()
    assert clips.grad is not None
    moved = clips.grad.abs().sum(dim=(0, 1)).view(8, 4, 4, 8, 4, 8).sum(dim=(1, 3, 5)).flatten() > 0
    hidden = set(outputs.masked[0].tolist())
    assert set(moved.nonzero()[:, 0].tolist()) == set(range(128)) - hidden


def test_the_prior_finds_the_beat_and_forgets_what_stands_still() -> None:
    """Slots of 4 frames and a beat of 16: a slot is like the fourth after it, unlike the second."""
    clips = beating(2, 16)
    prior = contrast.pixel_prior(clips, 8)
    assert (prior.diagonal(4, 1, 2) > 0.99).all() and (prior.diagonal(2, 1, 2) < -0.5).all()
    anatomy = torch.rand(1, 1, 1, 32, 32)
    brighter = 3 * (clips + anatomy) + 7
    torch.testing.assert_close(contrast.pixel_prior(brighter, 8), prior, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["paper", "v2"])
def test_no_valid_triplet_gives_0(variant: str) -> None:
    """Clips of one picture. Vectors of equal slots are equal too: no similarity is above the mean.

    The gradient is finite.
    """
    made = objective(variant=variant, **SMALL)
    clips = torch.rand(2, 3, 1, 32, 32).expand(-1, -1, 32, -1, -1)
    slots = torch.ones(2, 8, 64, requires_grad=True)
    outputs = EchoFMOutputs(
        predicted=torch.zeros(2, 1, 1),
        target=torch.zeros(2, 1, 1),
        masked=torch.zeros(2, 1, dtype=torch.int64),
        slots=slots,
        prior=contrast.pixel_prior(clips, 8),
        draws=torch.rand(2, 2),
    )
    assert not contrast.valid_anchors(outputs.prior).any()
    for whole in (None, WholeBatch(2, 0.0)):
        terms = made.loss(outputs, batch_of(clips, whole))
        assert terms["triplet"].tolist() == [0, 0]
        assert terms["loss"].isfinite().all()
        terms["loss"].sum().backward()
        assert slots.grad is not None and slots.grad.isfinite().all()


def mined_by_loops(prior: np.ndarray, units: np.ndarray, margin: float) -> list[float | None]:
    """The losses by anchor of one clip. None: it is not valid."""
    losses: list[float | None] = []
    slots = range(len(prior))
    for anchor in slots:
        others = [slot for slot in slots if slot != anchor]
        mean = np.mean([prior[anchor, slot] for slot in others])
        alike = {slot: float(units[anchor] @ units[slot]) for slot in others}
        positives = [alike[slot] for slot in others if prior[anchor, slot] > mean]
        negatives = []
        for slot in others:
            if prior[anchor, slot] <= mean and abs(slot - anchor) > 1:
                negatives.append(alike[slot])
        if positives and negatives:
            losses.append(max(0.0, max(negatives) - min(positives) + margin))
        else:
            losses.append(None)
    return losses


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(3, 9))
def test_mined_triplets_equal_a_plain_loop(seed: int, slots: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(3, slots, 5, generator=generator, dtype=torch.float64)
    guides = torch.randn(3, slots, 2, generator=generator, dtype=torch.float64)
    prior = contrast.similarities(guides)
    found = contrast.mined_triplets(prior, vectors, 0.2)
    valid = contrast.valid_anchors(prior)
    for sample in range(3):
        units = nn.functional.normalize(vectors[sample], dim=1).numpy()
        expected = mined_by_loops(prior[sample].numpy(), units, 0.2)
        assert [loss is not None for loss in expected] == valid[sample].tolist()
        plain = [loss or 0.0 for loss in expected]
        np.testing.assert_allclose(found[sample].numpy(), plain, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_triplets_of_the_first_slot_equal_torchs_loss(seed: int) -> None:
    """Draws go through all positives and negatives."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, 8, 4, generator=generator, dtype=torch.float64)
    draws = torch.rand(2, 2, generator=generator)
    found = contrast.first_slot_triplets(vectors, draws, 1.0)
    for sample in range(2):
        own = vectors[sample]
        alike = contrast.similarities(own[None])[0, 0]
        positives = [slot for slot in range(1, 8) if alike[slot] > alike.mean()]
        negatives = [slot for slot in range(1, 8) if alike[slot] <= alike.mean()]
        if not positives or not negatives:
            assert found[sample] == 0
            continue
        positive = positives[int(draws[sample, 0] * len(positives))]
        negative = negatives[int(draws[sample, 1] * len(negatives))]
        expected = nn.functional.triplet_margin_loss(
            own[0], own[positive], own[negative], margin=1.0, eps=1e-7
        )
        torch.testing.assert_close(found[sample], expected)


def test_the_cycle_term_equals_torchs_divergence() -> None:
    prior = contrast.similarities(torch.randn(2, 8, 3, dtype=torch.float64))
    vectors = torch.randn(2, 8, 5, dtype=torch.float64)
    found = contrast.cycle_divergence(prior, vectors)
    alike = contrast.similarities(vectors)
    for sample in range(2):
        rows = []
        for anchor in range(8):
            others = [slot for slot in range(8) if slot != anchor]
            own = (alike[sample, anchor, others] / 0.1).log_softmax(0)
            aim = (prior[sample, anchor, others] / 0.1).softmax(0)
            rows.append(nn.functional.kl_div(own, aim, reduction="sum"))
        torch.testing.assert_close(found[sample], torch.stack(rows).mean())
    assert contrast.cycle_divergence(prior, torch.ones(2, 8, 5).double()).min() > 0


def test_parts_of_a_batch_add_up_to_the_mean_over_its_valid_anchors() -> None:
    """Of three clips that beat and one that stands still, in parts of 1 and 3."""
    clips = torch.cat([beating(3, 13), torch.rand(1, 3, 1, 32, 32).expand(-1, -1, 32, -1, -1)])
    names = ["a", "b", "c", "d"]
    keys = keyed(*names)
    made = network(keys, variant="v2")
    goal = objective(variant="v2", **SMALL)
    outputs = made(clips)
    valid = contrast.valid_anchors(outputs.prior)
    assert made.count(clips) == int(valid.sum()) and not valid[3].any() and valid[:3].any()
    by_anchor = contrast.mined_triplets(outputs.prior, outputs.slots, 0.2)
    parts = goal.loss(outputs, batch_of(clips))
    rest = (parts["reconstruction"] + parts["cycle"]).mean()
    expected = rest + by_anchor[valid].mean()
    whole = WholeBatch(4, float(valid.sum()))
    total = 0.0
    for chosen in (slice(0, 1), slice(1, 4)):
        keys.current = to_tensor(sample_keys(names[chosen]))
        part = goal.loss(made(clips[chosen]), batch_of(clips[chosen], whole))
        total += float(part["loss"].sum().detach())
    assert total / 4 == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_variant_is_its_fields_written_out() -> None:
    plain = {"variant": "v2", "margin": 0.2, "cycle_weight": 1.0}
    assert cell_id(pretraining(variant="v2")) == cell_id(pretraining(**plain))
    assert cell_id(pretraining(variant="v2")) != cell_id(pretraining(variant="paper"))
    assert pretraining(variant="v2", margin=0.3).objective.margin == 0.3
    again = parse_config(pretraining(variant="v2").model_dump(mode="json"))
    assert cell_id(again) == cell_id(pretraining(variant="v2"))


@pytest.mark.parametrize(
    ("encoder", "fields", "message"),
    [
        ("tiny-mvit", {}, "encoder tiny-mvit cannot run on a part of its tokens; valid: .*"),
        ("tiny-echofm", {"ratio": 0.05}, "0.05 of 16 places .* masks none or all"),
        ("tiny-echofm", {"target_frames": 12}, "12 of 32 frames; .* a multiple of 8, at most 32"),
        ("tiny-echofm", {"target_frames": 40}, "40 of 32 frames"),
        ("tiny-echofm", {"variant": "v3"}, "'v3' is not valid; valid: paper, v2"),
        ("tiny-echofm", {"cycle_weight": 1}, "variant paper has no cycle term"),
        ("tiny-echofm", {"decoder_width": 100}, "a multiple of 32, or an even number"),
        ("tiny-echofm", {"clip": "ed-to-es"}, "echofm is learned from window or uniform"),
    ],
)
def test_what_cannot_be_learned_is_told_when_it_is_read(
    encoder: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(EchoLMError, match=message):
        pretraining(encoder, **fields)


def test_it_is_learned_with_videomae_too() -> None:
    made = network(keyed("a"), "tiny-videomae")
    outputs = made(torch.rand(1, 3, 16, 32, 32))
    assert outputs.predicted.shape == (1, 96, 192)
    assert pretraining("tiny-videomae", variant="v2").encoder.name == "tiny-videomae"


def test_short_clips_are_looped_from_a_drawn_start() -> None:
    clip = CLIPS.parse({"name": "window", "short": "loop"})
    held = np.arange(10)
    starts = set()
    for key in range(0, 2**64, 2**59):
        frames = clip.choose(held, {}, 32, key, None)
        starts.add(int(frames[0]))
        assert (np.diff(frames) % 10 == 1).all() and set(frames) == set(range(10))
    assert starts == set(range(10))
    assert clip.choose(held, {}, 32, None, None).tolist() == [*range(10)] * 3 + [0, 1]
    long = clip.choose(np.arange(50), {}, 32, 2**63, None)
    assert long.tolist() == list(range(9, 41))
    assert cell_id(pretraining(clip={"name": "window", "short": "repeat"})) == cell_id(
        pretraining(clip="window")
    )


def test_the_optimisers_recipe_is_its_fields_written_out() -> None:
    plain = {
        "name": "adamw",
        "lr": 2.5e-4,
        "betas": [0.9, 0.95],
        "weight_decay": 0.05,
        "clip": 0.02,
        "decay": "weights",
    }
    values = pretraining().model_dump(mode="json")
    named = parse_config({**values, "optimizer": {"name": "adamw", "recipe": "echofm"}})
    assert cell_id(named) == cell_id(parse_config({**values, "optimizer": plain}))
    faster = parse_config({**values, "optimizer": {"name": "adamw", "recipe": "echofm", "lr": 1}})
    assert faster.optimizer.lr == 1 and faster.optimizer.clip == 0.02


def test_what_is_counted_before_a_step_and_within_it_is_the_same_in_bf16() -> None:
    clips = torch.rand(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    before = contrast.pixel_prior(clips, 4)
    with torch.autocast("cpu", torch.bfloat16):
        within = contrast.pixel_prior(clips, 4)
    assert within.dtype == torch.float32 and torch.equal(within, before)
