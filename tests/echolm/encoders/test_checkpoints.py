"""A checkpoint loads exactly, or is refused with a message that says which file is meant.

Code in it never runs.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.checkpoints import load_state
from echolm.encoders.r3d_18 import R3D18
from echolm.errors import EchoLMError

ANY_FILE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
TINY = ENCODERS.parse("tiny-r3d")


def refusal(path: Path, network: nn.Module | None = None) -> str:
    """Return the message that refuses ``path`` as weights of r3d-18.

    It names the file, encoder, source and licence.
    """
    network = network or nn.Linear(2, 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(EchoLMError) as error:
        load_state(path, network, R3D18())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "encoder r3d-18" in message
    assert (
        "r3d_18-b3b3357e.pth "
        "(https://download.pytorch.org/models/r3d_18-b3b3357e.pth, licence BSD-3" in message
    )
    return message


def saved(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def equal(left: nn.Module, right: nn.Module) -> bool:
    theirs = right.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in left.state_dict().items())


@pytest.fixture
def network() -> EncoderNetwork:
    network = TINY.build(None)
    network(torch.randn(2, 3, 16, 32, 32))  # statistics that are not those of a new network
    return network


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "name", ["weights.pt", "weights.safetensors", "a name, \N{GREEK SMALL LETTER MU}.v2.pth"]
)
def test_round_trip(tmp_path: Path, network: EncoderNetwork, name: str, prefix: str) -> None:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    assert equal(TINY.build(path), network)


def test_batch_counters_may_be_absent(tmp_path: Path, network: EncoderNetwork) -> None:
    """Checkpoints from before PyTorch 0.4.1 have none."""
    state = {
        key: value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    loaded = TINY.build(saved(tmp_path / "old.pt", state)).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())


def test_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "r3d_18-b3b3357e.pth")
    assert "a folder, not a file" in refusal(tmp_path)


def test_another_models_weights_name_the_first_keys(tmp_path: Path) -> None:
    path = saved(tmp_path / "other.pth", nn.BatchNorm1d(4).state_dict())
    message = refusal(path, nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)))
    assert "missing: 0.weight and 3 more; unexpected: weight and 4 more" in message


def test_another_shape_names_both_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path / "wide.pth", nn.Linear(5, 3).state_dict())
    assert "of another shape: weight (3, 5) for (3, 2)" in refusal(path, nn.Linear(2, 3))


def test_the_full_network_of_another_encoder_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "mvit.pt", ENCODERS.parse("tiny-mvit").build(None).state_dict())
    with pytest.raises(
        EchoLMError, match="not weights of encoder tiny-r3d: missing: stem.stem.0.weight and"
    ):
        TINY.build(path)
    with pytest.raises(
        EchoLMError, match="not weights of encoder none: unexpected: stem.patches.weight and"
    ):
        ENCODERS.parse("none").build(path)


def test_a_state_dict_may_lie_under_a_key(tmp_path: Path) -> None:
    network, state = nn.Linear(2, 3), nn.Linear(2, 3).state_dict()
    for content in ({"weights": state, "epoch": 3}, state):
        load_state(saved(tmp_path / "x.pt", content), network, R3D18(), under="weights")
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert "a mapping of model" in refusal(saved(tmp_path / "y.pt", {"model": state}))
    assert "a mapping of weights" in refusal(saved(tmp_path / "z.pt", {"weights": state}))


def test_keys_of_no_use_are_left_out_and_no_others(tmp_path: Path) -> None:
    state = {
        **nn.Linear(2, 3).state_dict(),
        "module.EF_head.1.bias": torch.zeros(1),
        "pe": torch.zeros(3),
    }
    path = saved(tmp_path / "x.pt", state)
    load_state(path, nn.Linear(2, 3), R3D18(), left_out=r"pe|[^.]+_head\.1\.bias")
    with pytest.raises(EchoLMError, match=r"unexpected: pe\."):
        load_state(path, nn.Linear(2, 3), R3D18(), left_out=r"[^.]+_head\..+")


def test_a_text_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "r3d_18-b3b3357e.pth"
    path.write_text("<!DOCTYPE html>\n<title>Sign in</title>\n")
    assert "truncated, or not a checkpoint. Meant is" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", nn.Linear(2, 3).state_dict())
    path.chmod(0)
    assert "permission denied" in refusal(path)


@pytest.mark.parametrize(
    "value", [[1, 2], {"epoch": 3, "state_dict": {}}, {0: torch.zeros(1)}, torch.zeros(2)]
)
def test_what_is_not_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    assert "not a state dict" in refusal(saved(tmp_path / "x.pt", value))


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.mark, "ran")


def test_code_in_a_pickle_never_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch_file = saved(tmp_path / "a.pth", {"weight": Payload(mark)})
    plain = tmp_path / "b.pth"
    plain.write_bytes(pickle.dumps(Payload(mark), protocol=2))
    module = saved(tmp_path / "c.pth", nn.Linear(2, 3))
    for path in (torch_file, plain, module):
        message = refusal(path)
        assert "Python objects" in message and "which are never run" in message
        assert (
            "`weights_only`" not in message
        )  # torch's advice to read the file without that protection
    assert "(torch.nn.modules.linear.Linear)" in refusal(module)
    assert not mark.exists()


def content(suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".safetensors":
        from safetensors.torch import save

        return save(nn.Linear(2, 3).state_dict())
    torch.save(nn.Linear(2, 3).state_dict(), buffer)
    return buffer.getvalue()


@ANY_FILE
@given(suffix=st.sampled_from([".pth", ".safetensors"]), part=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"cut{suffix}"
    whole = content(suffix)
    path.write_bytes(whole[: int(part * len(whole))])
    assert ("truncated" if path.stat().st_size else "the file is empty") in refusal(path)


@ANY_FILE
@given(suffix=st.sampled_from([".pth", ".safetensors", ".bin"]), noise=st.binary(max_size=200))
def test_any_other_bytes_are_refused(tmp_path: Path, suffix: str, noise: bytes) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(noise)
    refusal(path)
