"""Attention rollout: its rule, and the pictures of it that ``echolm predict`` draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from predict_support import prepared

from echolm.cli import main
from echolm.errors import EchoLMError
from echolm.predict.attention import SIDE, AttendedClip, attended, draw_attention
from echolm.predict.picture import GAP
from echolm.predict.rollout import rollout
from echolm.predict.run_network import LoadedRun
from echolm.record import RunRecord
from echolm.training.loop import fit
from echolm.workspace import Workspace


def reference(blocks: list[np.ndarray]) -> np.ndarray:
    """Follow the rule of Echo-Vision-FM's script, a clip and a row at a time."""
    clips = []
    for clip in range(len(blocks[0])):
        result = np.eye(blocks[0].shape[2])
        for block in blocks:
            heads = block[clip]
            size = heads.shape[1]
            lowest_of_heads = np.array(
                [
                    [min(head[row, column] for head in heads) for column in range(size)]
                    for row in range(size)
                ]
            )
            flat = lowest_of_heads.ravel()
            for place in np.argsort(flat)[: int(0.9 * len(flat))]:
                if place != 0:
                    flat[place] = 0
            for row in range(size):
                shares = lowest_of_heads[row] / 2
                shares[row] += 0.5
                lowest_of_heads[row] = shares / shares.sum()
            result = lowest_of_heads @ result
        clips.append(result)
    return np.stack(clips)


def test_rollout_is_the_rule() -> None:
    random = np.random.default_rng(0)
    blocks = [random.dirichlet(np.full(12, 0.3), (2, 3, 12)) for _ in range(4)]
    before = [block.copy() for block in blocks]
    rolled = rollout(torch.from_numpy(block) for block in blocks).numpy()
    assert np.abs(rolled - reference(blocks)).max() < 1e-14
    assert np.allclose(rolled.sum(2), 1)
    assert all(np.array_equal(block, old) for block, old in zip(blocks, before, strict=True))


def test_each_clip_of_a_batch_is_followed_alone() -> None:
    random = np.random.default_rng(1)
    blocks = [torch.from_numpy(random.dirichlet(np.ones(9), (3, 2, 9))) for _ in range(2)]
    together = rollout(blocks)
    for clip in range(3):
        alone = rollout([block[clip : clip + 1] for block in blocks])
        torch.testing.assert_close(together[clip], alone[0])


STF = {"name": "stf-net", "hidden": 32}


def trained(workspace: Workspace, **changes: Any) -> RunRecord:
    run = prepared(workspace, **{"epochs": 1, "trainable": "k1", "head": "linear", **changes})
    [outcome] = fit([run])
    assert outcome.state == "complete", outcome
    return run.record


@pytest.fixture(scope="module")
def with_stf_net(workspace: Workspace) -> RunRecord:
    return trained(workspace, encoder="tiny-videomae", fusion=STF)


@pytest.fixture(scope="module")
def with_class_token(workspace: Workspace) -> RunRecord:
    return trained(workspace, encoder="tiny-vivit")


def loaded(record: RunRecord, workspace: Workspace) -> LoadedRun:
    from echolm.predict.run_network import RunNetwork

    return RunNetwork(record, workspace)


FRAMES = [3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]


def test_the_row_of_a_token_drawn_by_the_file_s_name(
    with_stf_net: RunRecord, workspace: Workspace, videos: list[Path]
) -> None:
    run = loaded(with_stf_net, workspace)
    clip = attended(run, videos[0], FRAMES)
    assert clip.frames.shape == (16, 32, 32) and clip.frames.dtype == np.uint8
    assert clip.maps.shape == (8, 4, 4) and clip.maps.min() == 0 and clip.maps.max() == 1
    assert clip.token == attended(run, videos[0], FRAMES).token
    assert len({attended(run, video, FRAMES).token for video in videos[:4]}) > 1
    assert clip.network == "tiny-videomae, fusion stf-net" and clip.blocks == 4

    cine = run.read(videos[0], FRAMES)
    state = run.state(cine, cine.rows(FRAMES)[None])
    rolled = rollout(run.member.model.encoder.attentions(state.tensors["clip"]))[0]
    assert clip.token is not None
    row = rolled[np.ravel_multi_index(clip.token, (8, 4, 4))].numpy()
    expected = (row - row.min()) / (row.max() - row.min())
    assert np.allclose(clip.maps.ravel(), expected)
    assert clip.own_share == pytest.approx(row[np.ravel_multi_index(clip.token, (8, 4, 4))])
    others = np.delete(row, np.ravel_multi_index(clip.token, (8, 4, 4)))
    scaled = (others - row.min()) / (others.max() - row.min())
    found = np.delete(clip.others.ravel(), np.ravel_multi_index(clip.token, (8, 4, 4)))
    assert np.allclose(found, scaled) and clip.others[clip.token] == 0


def test_a_class_token_is_shown_where_there_is_one(
    with_class_token: RunRecord, workspace: Workspace, videos: list[Path]
) -> None:
    clip = attended(loaded(with_class_token, workspace), videos[0], FRAMES)
    assert clip.token is None and clip.maps.shape == (8, 4, 4) and clip.own_share == 0
    assert draw_attention(clip).height == 2 * (SIDE + GAP) - GAP
    assert clip.token_text == "the class token"


def test_a_frame_shows_the_map_of_its_time() -> None:
    maps = np.zeros((8, 4, 4))
    maps[3] = 1
    frames = np.full((16, 32, 32), 100, np.uint8)
    clip = AttendedClip(frames, tuple(range(16)), maps, (5, 0, 0), 0.2, 4, "network")
    picture = np.asarray(draw_attention(clip))
    middle = SIDE + GAP + SIDE // 2
    tints = []
    for column in range(8):
        red, _, blue = picture[middle, column * (SIDE + GAP) + SIDE // 2].astype(int)
        tints.append(red > blue)
    # Frames 0, 2, 4, 6, 9, 11, 13 and 15 are of times 0 to 7.
    assert tints == [time == 3 for time in range(8)]
    framed = picture[SIDE + GAP + 1, [column * (SIDE + GAP) + 30 for column in range(8)]]
    assert [tuple(pixel) == (255, 196, 0) for pixel in framed] == [time == 5 for time in range(8)]


def typed(workspace: Workspace, record: RunRecord, *words: object, status: int = 0) -> Result:
    arguments = ["-w", str(workspace.root), "predict", str(record.path), *map(str, words)]
    done = CliRunner().invoke(main, arguments, prog_name="echolm")
    assert done.exit_code == status, (done.output, done.exception)
    return done


def test_the_command(
    with_stf_net: RunRecord,
    record: RunRecord,
    workspace: Workspace,
    videos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [videos[0], "--ed", 3, "--es", 9, "--attention", "attention.png"]
    told = typed(workspace, with_stf_net, *words).stdout
    with Image.open("attention.png") as picture:
        assert picture.size == (8 * (SIDE + GAP) - GAP, 3 * (SIDE + GAP) - GAP)
    assert "attention.png: what the token of time " in told
    assert "4 blocks of tiny-videomae, fusion stf-net" in told
    plain = json.loads(typed(workspace, with_stf_net, *words, "--json").stdout)["attention"]
    assert plain["picture"] == "attention.png" and len(plain["token"]) == 3
    assert (plain["frames"][0], plain["frames"][-1]) == (3, 9)

    other = typed(workspace, record, *words[:-1], "other.png", status=1)
    assert "encoder tiny-r3d has no maps of attention; valid: a run of encoder " in other.output
    assert not Path("other.png").exists()
    kind = typed(workspace, with_stf_net, *words[:-1], "a.mp4", status=1)
    assert "--attention a.mp4: .mp4 is no kind of picture" in kind.output
    folder = [videos[0].parent, "--attention", "a.png"]
    assert "--attention is for one clip" in typed(workspace, with_stf_net, *folder, status=2).output


def test_an_encoder_without_maps_is_refused(
    record: RunRecord, workspace: Workspace, videos: list[Path]
) -> None:
    with pytest.raises(EchoLMError, match="no maps of attention; valid: a run of encoder echo-"):
        attended(loaded(record, workspace), videos[0], FRAMES)
