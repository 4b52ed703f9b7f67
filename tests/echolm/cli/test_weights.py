"""``echolm weights``: what there is, and whether a file is what it should be.

Files have the true keys and shapes.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from echolm.cli.main import main
from echolm.encoders import ENCODERS, PublishedWeights
from echolm.encoders.families import frame_transformer
from echolm.encoders.published import check_file
from echolm.encoders.tiny_r3d import TinyR3D
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.errors import EchoLMError

models = import_torchvision().models


def panecho() -> nn.Module:
    convnext = models.convnext_tiny()
    convnext.classifier = convnext.classifier[:-1]
    return frame_transformer.as_published(
        convnext, [frame_transformer.transformer_layer(768, 8) for _ in range(4)]
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "r3d-18": models.video.r3d_18,
    "mvit-v2-s": models.video.mvit_v2_s,
    "resnet18-2d": models.resnet18,
    "vit-b-16": models.vit_b_16,
    "echoprime": lambda: models.video.mvit_v2_s(num_classes=512),
    "panecho": panecho,
}
PARAMETERS = {
    "r3d-18": 33_166_272,
    "mvit-v2-s": 34_230_144,
    "resnet18-2d": 11_176_512,
    "vit-b-16": 85_798_656,
    "echoprime": 34_623_872,
    "panecho": 42_006_624,
}
EXTRA = {
    "encoder.time_encoder.pe": torch.zeros(1, 16, 768),
    "EF_head.1.weight": torch.zeros(1, 768),
    "EF_head.1.bias": torch.zeros(1),
    "LVWallThickness-increased-any_head.1.bias": torch.zeros(1),
}
"""What panecho.pt holds beside the encoder."""


VIDEO_TRANSFORMERS = ("videomae-b", "videomae-l", "echo-vision-fm", "echofm-l", "vivit-b")
"""Each has one or two published files. They are tested with the encoders."""


def state_of(name: str) -> dict[str, Tensor]:
    """Every key and shape of a published network; one number a tensor is stored."""
    with torch.device("meta"):
        shapes = NETWORKS[name]().state_dict()
    state = {}
    for key, value in shapes.items():
        state[key] = torch.zeros((), dtype=value.dtype).expand(value.shape)
    if name == "panecho":
        state.update(EXTRA)
    return state


def write(path: Path, name: str, state: dict[str, Tensor], prefix: str = "") -> Path:
    state = {prefix + key: value for key, value in state.items()}
    torch.save({"weights": state} if name == "panecho" else state, path)
    assert path.stat().st_size < 1_000_000
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.output


def refused(name: str, path: Path) -> str:
    """The one error of ``weights check``."""
    output = run("weights", "check", name, path, code=1)
    assert output.startswith("Error: ") and output.count("\n") == 1 and str(path) in output
    return output


def test_list_names_every_published_file_and_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECHOLM_WEIGHTS", raising=False)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "panecho.pt").touch()
    listed = {
        item["encoder"]: item
        for item in json.loads(run("-w", tmp_path, "weights", "list", "--json"))
    }
    assert set(listed) == {*NETWORKS, *VIDEO_TRANSFORMERS}
    for name, item in listed.items():
        assert item["present"] == (name == "panecho")
        assert item["path"] == str(tmp_path / "weights" / item["file"])
        assert (
            item["origin"] and item["licence"] and item["weights"] in ENCODERS.parse(name).published
        )
    text = run("-w", tmp_path, "weights", "list")
    assert text.count("not there") == 13
    assert all(item["file"] in text and item["licence"] in text for item in listed.values())
    assert f"1 of 14 in {tmp_path / 'weights'}" in text


def test_what_each_file_has_seen_is_told_with_its_source(tmp_path: Path) -> None:
    listed = {}
    for item in json.loads(run("-w", tmp_path, "weights", "list", "--json")):
        listed[f"{item['encoder']}:{item['weights']}"] = item["seen"]
    assert all(seen and all(data["source"] for data in seen) for seen in listed.values())
    datasets = [data["dataset"] for data in listed["echo-vision-fm:echo-vision-fm"]]
    assert datasets == ["kinetics-400", "mimic-iv-echo"]
    assert [data["dataset"] for data in listed["echo-vision-fm:videomae"]] == ["kinetics-400"]
    text = run("-w", tmp_path, "weights", "list")
    assert "has seen private: 290,000 videos of 6,500 patients" in text


def test_list_looks_into_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOLM_WEIGHTS", str(tmp_path / "µ and space"))
    assert f"0 of 14 in {tmp_path / 'µ and space'}" in run("weights", "list")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_the_true_keys_fits_but_only_the_published_hash_is_published(
    tmp_path: Path, name: str
) -> None:
    """None of these files can have the published hash. Without one, keys and shapes decide."""
    state = state_of(name)
    assert {"echoprime": 397, "panecho": 228 + len(EXTRA)}.get(name, len(state)) == len(state)
    path = write(tmp_path / "file.pt", name, state, prefix="module.")
    (item,) = ENCODERS.parse(name).published.values()
    if item.sha256:
        message = refused(name, path)
        assert (
            f"keys and shapes fit encoder {name}, but it is not the published {item.file}"
            in message
        )
        assert (
            sha256(path) in message
            and item.sha256 in message
            and f"weights: file:{path}" in message
        )
        assert item.licence in message and item.origin in message
    else:
        checked = json.loads(run("weights", "check", name, path, "--json"))
        assert (checked["parameters"], checked["sha256"]) == (PARAMETERS[name], sha256(path))
        assert f"{PARAMETERS[name]:,} parameters" in run("weights", "check", f"{name}:{name}", path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Own(TinyR3D):
    """An encoder whose published file exists here."""

    published: ClassVar[dict[str, PublishedWeights]] = {}
    name: Literal["own-r3d"] = "own-r3d"  # type: ignore[assignment]


@pytest.fixture
def own_weights(tmp_path: Path) -> Iterator[Path]:
    """The file of ``own-r3d:whole``; of ``own-r3d:half`` the other one is known by eight digits."""
    path = tmp_path / "own.pt"
    torch.save(Own().build(None).state_dict(), path)
    digest = sha256(path)
    Own.published = {
        "whole": PublishedWeights(file="own.pt", origin="here", licence="CC0", sha256=digest),
        "half": PublishedWeights(file="half.pt", origin="here", licence="CC0", sha256="0" * 8),
    }
    ENCODERS.register(Own)
    yield path
    ENCODERS._classes.pop("own-r3d")


def test_the_published_file_is_recognised(own_weights: Path) -> None:
    text = run("weights", "check", "own-r3d:whole", own_weights)
    parameters = sum(parameter.numel() for parameter in Own().build(None).parameters())
    assert (
        f"{own_weights}: weights of encoder own-r3d, every key and shape; {parameters:,} parameters"
        in text
    )
    assert (
        f"SHA-256 {sha256(own_weights)}: as published (64 digits known)" in text
        and "licence: CC0" in text
    )
    checked: dict[str, Any] = json.loads(
        run("weights", "check", "own-r3d:whole", own_weights, "--json")
    )
    assert checked == check_file("own-r3d:whole", own_weights)


def test_a_hash_known_in_part_is_compared_in_part(own_weights: Path) -> None:
    assert "the published one starts with 00000000." in refused("own-r3d:half", own_weights)


def test_of_several_published_weights_one_must_be_named(own_weights: Path) -> None:
    for name in ("own-r3d", "own-r3d:hole"):
        with pytest.raises(
            EchoLMError,
            match=f"{name}: encoder own-r3d: which published weights.*valid: half, whole",
        ):
            check_file(name, own_weights)


def test_weights_of_an_encoder_without_published_ones_are_checked_by_keys(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    torch.save(ENCODERS.parse("tiny-r3d").build(None).state_dict(), path)
    assert "no published one is known to compare with" in run("weights", "check", "tiny-r3d", path)
    assert "Encoder tiny-mvit has no published weights" in refused("tiny-mvit", path)


def test_an_unknown_encoder_lists_the_valid_ones(tmp_path: Path) -> None:
    output = run("weights", "check", "echoprim", tmp_path, code=1)
    assert "did you mean 'echoprime'?" in output and "panecho" in output


def too_few(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("blocks.15.")}


def of(name: str, **more: Tensor) -> Callable[[], dict[str, Tensor]]:
    return lambda: state_of(name) | {key.replace("__", "."): value for key, value in more.items()}


WIDE, ONE = torch.zeros(()).expand(400, 768), torch.zeros(1)
OTHER_MODELS: dict[str, tuple[str, Callable[[], dict[str, Tensor]], str]] = {
    "MViTv2-S of Kinetics": (
        "echoprime",
        of("mvit-v2-s"),
        "of another shape: head.1.weight (400, 768) for (512, 768)",
    ),
    "a wider projection": (
        "echoprime",
        of("echoprime", head__1__weight=WIDE),
        ": head.1.weight (400, 768) for (512,",
    ),
    "a block less": (
        "echoprime",
        lambda: too_few(state_of("echoprime")),
        "missing: blocks.15.norm1.weight and 2",
    ),
    "PanEcho's heads": (
        "echoprime",
        lambda: EXTRA,
        "missing: conv_proj.weight and 396 more; unexpected: encoder.ti",
    ),
    "EchoPrime": (
        "panecho",
        of("echoprime"),
        "missing: encoder.encoder.model.features.0.0.weight and 227 more",
    ),
    "ResNet-18": ("vit-b-16", of("resnet18-2d"), "missing: class_token and"),
    "an unknown part": (
        "panecho",
        of("panecho", EF_top__1__bias=ONE),
        "panecho: unexpected: EF_top.1.bias.",
    ),
}


@pytest.mark.parametrize("case", OTHER_MODELS)
def test_another_models_file_says_how_it_differs_and_which_file_is_meant(
    tmp_path: Path, case: str
) -> None:
    name, state, difference = OTHER_MODELS[case]
    (item,) = ENCODERS.parse(name).published.values()
    message = refused(name, write(tmp_path / "file.pt", name, state()))
    assert f"not weights of encoder {name}: " in message and difference in message
    assert f"Meant is {item.file} ({item.origin}, licence {item.licence})" in message


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.mark, "ran")


def truncated(path: Path) -> None:
    torch.save(state_of("resnet18-2d"), path)
    path.write_bytes(path.read_bytes()[:20_000])


def pickled_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(path.with_name("mark")), 2))


def code_among_tensors(path: Path) -> None:
    torch.save(state_of("resnet18-2d") | {"x": Payload(path.with_name("mark"))}, path)


def git_lfs_pointer(path: Path) -> None:
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:f37072fd\nsize 46830571\n"
    )


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (Path.mkdir, "a folder, not a file"),
    "empty": (Path.touch, "the file is empty"),
    "truncated": (truncated, "truncated, or not a checkpoint"),
    "text": (git_lfs_pointer, "truncated, or not a checkpoint"),
    "a pickle with code": (pickled_code, "are never run"),
    "code among tensors": (code_among_tensors, "are never run"),
    "a whole model": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        "Python objects (torch.nn.modules.linear.Linear)",
    ),
    "a training state": (
        lambda path: torch.save({"epoch": 3, "model": {}}, path),
        "not a state dict",
    ),
    "a list": (
        lambda path: torch.save([1, 2], path),
        "(names to tensors) for encoder resnet18-2d, but list",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_gives_one_clear_error(tmp_path: Path, case: str) -> None:
    make, reason = BAD_FILES[case]
    path = tmp_path / "resnet18-f37072fd.pth"
    make(path)
    message = refused("resnet18-2d", path)
    assert (
        reason in message
        and "Meant is resnet18-f37072fd.pth (https://" in message
        and "licence BSD-3" in message
    )
    assert not (tmp_path / "mark").exists() and set(tmp_path.iterdir()) <= {path}
