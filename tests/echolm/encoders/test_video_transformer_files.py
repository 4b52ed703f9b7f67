"""Published files of VideoMAE load as they are, in each layout and from each stage of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from videomae_references import LAYOUTS, TINY, reference

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.published import list_published
from echolm.errors import EchoLMError


def file_of(
    folder: Path, model: nn.Module, layout: str, under: str = "", name: str = "pytorch_model.bin"
) -> Path:
    """Write a model's file in a layout. Authors' files hold it under a key."""
    state = LAYOUTS[layout](model.state_dict())
    path = folder / name
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save({under: state, "epoch": 799} if under else state, path)
    return path


def build(path: Path | None, **fields: Any) -> EncoderNetwork:
    return ENCODERS.parse({"name": "tiny-videomae", **fields}).build(path).eval()


def clip() -> Tensor:
    return torch.randn(1, 3, 16, 32, 32, generator=torch.Generator().manual_seed(1))


def check_tokens(network: EncoderNetwork, model: nn.Module) -> None:
    """Compare what a network gives with a model of transformers, of which it may be a part."""
    inner = getattr(model, "videomae", model)
    with torch.no_grad():
        expected = inner(clip().transpose(1, 2)).last_hidden_state
        tokens = network(clip()).tokens.flatten(1, 3)
    assert (tokens - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["Model", "ForPreTraining", "ForVideoClassification"])
@pytest.mark.parametrize("mean_pooling", [True, False])
def test_a_file_gives_the_features_of_its_model(
    tmp_path: Path, layout: str, kind: str, mean_pooling: bool
) -> None:
    """With decoder, classifier or neither: they are left out."""
    model = reference(kind, mean_pooling, TINY)
    network = build(
        file_of(tmp_path, model, layout), final_norm="none" if mean_pooling else "tokens"
    )
    check_tokens(network, model)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fine_tuned_file_has_its_norm_over_the_pooled_vector(tmp_path: Path, layout: str) -> None:
    model = reference("ForVideoClassification", True, TINY)
    network = build(file_of(tmp_path, model, layout), final_norm="pooled").double()
    model.classifier = nn.Identity()
    expected = model.double()(clip().double().transpose(1, 2)).logits
    torch.testing.assert_close(network(clip().double()).pooled, expected)


@pytest.mark.parametrize("under", ["model", "module"])
@pytest.mark.parametrize("kind", ["ForPreTraining", "ForVideoClassification"])
def test_the_authors_files_hold_it_under_a_key(tmp_path: Path, under: str, kind: str) -> None:
    model = reference(kind, True, TINY)
    path = file_of(tmp_path, model, "authors", under, "checkpoint-799.pth")
    check_tokens(build(path, final_norm="none"), model)


def test_a_safetensors_file_loads(tmp_path: Path) -> None:
    model = reference("ForPreTraining", False, TINY)
    path = file_of(tmp_path, model, "hub, version 4", name="model.safetensors")
    check_tokens(build(path), model)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_its_own_state_dict_loads(tmp_path: Path, positions: str) -> None:
    network = build(None, positions=positions)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    again = build(tmp_path / "own.pt", positions=positions)
    assert all(
        torch.equal(value, again.state_dict()[key]) for key, value in network.state_dict().items()
    )


def test_learned_positions_are_in_the_authors_file(tmp_path: Path) -> None:
    model = reference("ForPreTraining", False, TINY)
    state = LAYOUTS["authors"](model.state_dict())
    table = torch.randn(1, 128, 64)
    torch.save({"model": {**state, "encoder.pos_embed": table}}, tmp_path / "x.pth")
    network = build(tmp_path / "x.pth", positions="learned")
    assert torch.equal(network.get_parameter("stem.positions"), table)
    with pytest.raises(EchoLMError, match=r"unexpected: stem\.positions"):
        build(tmp_path / "x.pth")


def test_the_last_norm_over_tokens_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    """As Echo-Vision-FM's pretraining begins with VideoMAE's."""
    model = reference("ForPreTraining", False, TINY)
    network = build(file_of(tmp_path, model, "hub, version 4"), final_norm="none")
    model.videomae.layernorm = None
    check_tokens(network, model)


def test_a_norm_that_a_pretraining_has_not_begins_as_the_identity(tmp_path: Path) -> None:
    """Fine-tuning of pretrained weights, as the authors do it."""
    model = reference("ForPreTraining", False, TINY)
    network = build(file_of(tmp_path, model, "authors"), final_norm="pooled")
    norm = network.readout.get_submodule("norm")
    assert torch.equal(norm.get_parameter("weight"), torch.ones(64))
    assert torch.equal(norm.get_parameter("bias"), torch.zeros(64))


def test_a_norm_that_the_file_lacks_is_missed(tmp_path: Path) -> None:
    path = file_of(tmp_path, reference("ForPreTraining", True, TINY), "hub, version 4")
    with pytest.raises(EchoLMError, match=r"missing: readout\.norm\.weight and 1 more\."):
        build(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_lacks_a_tensor_or_has_one_more_is_refused(tmp_path: Path, layout: str) -> None:
    whole = LAYOUTS[layout](reference("Model", False, TINY).state_dict())
    for key in whole:
        torch.save({name: whole[name] for name in whole if name != key}, tmp_path / "cut.pt")
        with pytest.raises(EchoLMError, match="not weights of encoder tiny-videomae: missing: "):
            build(tmp_path / "cut.pt")
    torch.save({**whole, "blocks.0.gamma_1": torch.ones(64)}, tmp_path / "more.pt")
    with pytest.raises(EchoLMError, match=r"unexpected: blocks\.0\.gamma_1\."):
        build(tmp_path / "more.pt")


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, reference("Model", False, {**TINY, "patch_size": 16}), "hub, version 4"
    )
    shapes = r"stem\.cubes\.weight \(64, 3, 2, 16, 16\) for \(64, 3, 2, 8, 8\)"
    with pytest.raises(EchoLMError, match=f"of another shape: {shapes}"):
        build(path)


def test_published_weights_are_listed_with_their_licences(tmp_path: Path) -> None:
    listed = {}
    for item in list_published(tmp_path):
        listed[f"{item['encoder']}:{item['weights']}"] = (item["file"], item["licence"])
    non_commercial = "CC BY-NC 4.0 (non-commercial)"
    assert listed["videomae-b:kinetics400"] == ("videomae-base/pytorch_model.bin", non_commercial)
    assert listed["videomae-l:kinetics400"] == ("videomae-large/pytorch_model.bin", non_commercial)
    assert listed["echo-vision-fm:echo-vision-fm"][1] == "none stated"
    assert listed["echo-vision-fm:videomae"] == listed["videomae-b:kinetics400"]
