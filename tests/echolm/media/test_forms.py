"""Over all forms of clips: frames read together are those read alone, in any order, and right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_support import DAMAGED_INDEX, DICOM, FORMS, MJPEG, OTHER_CODECS
from PIL import Image

from echolm.errors import EchoLMError
from echolm.media.read import format_of, read_video

COUNT = 7
SIZE = (32, 48)
WITHOUT_RATE = "JPEG pictures one after another"
TOLERANCE = 3.0
"""Mean levels of gray by which lossy codecs change the pictures."""


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Smooth pictures that move and differ: T x H x W uint8."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frames = []
    for time in range(COUNT):
        frames.append(110 + 70 * np.sin(x / 7 + time) + 40 * np.cos(y / 5 - time) + 4 * time)
    return np.stack(frames).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, pictures: np.ndarray
) -> Callable[[str], Path]:
    """The file of a form, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("forms")
    paths: dict[str, Path] = {}

    def path_of(form: str) -> Path:
        if form not in paths:
            paths[form] = folder / str(len(paths))
            FORMS[form](paths[form], pictures)
        return paths[form]

    return path_of


@pytest.mark.filterwarnings("ignore")  # of pydicom, while a file is made
@pytest.mark.parametrize("form", FORMS)
@given(wanted=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5))
@settings(max_examples=6, suppress_health_check=[*HealthCheck])
def test_frames_read_together_are_those_read_alone(
    form: str, wanted: list[int], written: Callable[[str], Path], pictures: np.ndarray
) -> None:
    path = written(form)
    whole = read_video(path, any_codec=True)
    assert whole.frames.dtype == np.uint8 and whole.frames.shape == pictures.shape
    assert whole.numbers.tolist() == list(range(COUNT))
    together = read_video(path, wanted, any_codec=True)
    assert np.array_equal(together.frames, whole.frames[wanted])
    assert together.numbers.tolist() == wanted
    alone = read_video(path, wanted[:1], any_codec=True)
    assert np.array_equal(alone.frames[0], whole.frames[wanted[0]])
    with pytest.raises(EchoLMError, match=f"has no frame {COUNT}; it holds {COUNT} frames"):
        read_video(path, [*wanted, COUNT], any_codec=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_frames_are_the_pictures_in_their_order(
    form: str, written: Callable[[str], Path], pictures: np.ndarray
) -> None:
    frames = read_video(written(form), any_codec=True).frames.astype(int)
    apart = np.abs(frames - pictures).mean((1, 2))
    assert apart.max() < TOLERANCE, apart
    if form in DICOM and "JPEG" not in form:
        assert np.array_equal(frames, pictures), "without loss"


@pytest.mark.parametrize(
    "form", [form for form in FORMS if form != "JPEG pictures one after another"]
)
@pytest.mark.filterwarnings("ignore")
def test_the_rate_is_the_files(form: str, written: Callable[[str], Path]) -> None:
    assert read_video(written(form), [0], any_codec=True).fps == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("form", OTHER_CODECS)
def test_data_sets_take_no_other_codec(form: str, written: Callable[[str], Path]) -> None:
    with pytest.raises(EchoLMError, match=r"valid: MJPEG .* Convert it: ffmpeg"):
        read_video(written(form))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [*MJPEG, *DICOM])
def test_asking_for_any_codec_changes_nothing_of_mjpeg_and_dicom(
    form: str, written: Callable[[str], Path]
) -> None:
    path = written(form)
    assert np.array_equal(read_video(path).frames, read_video(path, any_codec=True).frames)


def test_a_damaged_index_changes_nothing(
    written: Callable[[str], Path], pictures: np.ndarray
) -> None:
    """The frames are bitwise those of the AVI with a sound index."""
    from media_support import write_avi_with

    sound = written("MJPEG AVI").with_name("sound.avi")
    write_avi_with(lambda entries: entries)(sound, pictures)
    expected = read_video(sound).frames
    for name in DAMAGED_INDEX:
        path = written(f"MJPEG AVI, index: {name}")
        assert np.array_equal(read_video(path).frames, expected), name
        assert np.array_equal(read_video(path, [5, 2]).frames, expected[[5, 2]]), name


@pytest.mark.parametrize("form", ["MP4 H.264 with B-frames", "AVI MPEG-4", "MP4 MPEG-4"])
def test_a_cut_video_of_another_codec_is_an_error_whatever_is_wanted(
    form: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    content = written(form).read_bytes()
    whole = read_video(written(form), any_codec=True).frames
    for share in (0.2, 0.5, 0.7, 0.9):
        (tmp_path / "cut").write_bytes(content[: int(share * len(content))])
        for wanted in (None, [0]):
            try:
                frames = read_video(tmp_path / "cut", wanted, any_codec=True).frames
                assert np.array_equal(frames, whole[slice(None) if wanted is None else wanted])
            except EchoLMError as error:
                assert "cut: " in str(error)


def test_pictures_are_one_frame(tmp_path: Path, pictures: np.ndarray) -> None:
    for kind in ("PNG", "JPEG"):
        Image.fromarray(pictures[0]).save(tmp_path / kind, kind)
        whole = read_video(tmp_path / kind, any_codec=True).frames
        again = read_video(tmp_path / kind, [0, 0], any_codec=True).frames
        assert len(whole) == 1 and np.array_equal(again, whole[[0, 0]])
        assert format_of(tmp_path / kind).name == "still image"
