"""The contour video: only frames with a contour of their own forward pass."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from predict_support import CINE

from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.media.video import square_crop
from echolm.predict import LINE, PANEL, ContourPredictor
from echolm.predict.contour_video import RATE, check_film, film, save_film


def decoded(path: Path) -> np.ndarray:
    """All pictures of a video, as a player shows them: T x H x W x 3."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.average_rate == RATE
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(stream)])


@pytest.mark.parametrize(("ed", "es"), [(2, 13), (17, 5), (8, 9), (6, 6)])
def test_every_frame_from_ed_to_es_has_a_pass_of_its_own(
    ed: int, es: int, predictor: ContourPredictor
) -> None:
    """In the order of the file, each an end of its clip, with the contour of this clip alone.

    At ED and ES it is the prediction's.
    """
    low, high = min(ed, es), max(ed, es)
    traced = film(predictor, predictor.read(CINE), ed, es)
    assert [frame.number for frame in traced] == list(range(low, high + 1))
    np.testing.assert_array_equal(
        [frame.frame for frame in traced], square_crop(read_video(CINE).frames)[low : high + 1]
    )
    for frame in traced:
        end = ("ED", "ES").index(frame.phase)
        assert frame.clip[end] == frame.number and frame.clip[1 - end] == (es, ed)[end]
        assert abs(frame.number - ed) < abs(frame.number - es) or frame.phase == "ES", (
            "the nearer end"
        )
        np.testing.assert_allclose(
            frame.contour, predictor(CINE, *frame.clip).contours[end], atol=1e-3
        )
    predicted = predictor(CINE, ed, es).contours
    ends = {frame.number: frame.contour for frame in traced}
    np.testing.assert_allclose(ends[es], predicted[1], atol=1e-3)
    if ed != es:
        np.testing.assert_allclose(ends[ed], predicted[0], atol=1e-3)


def test_the_frames_between_are_enough(predictor: ContourPredictor) -> None:
    part = film(predictor, predictor.read(CINE, range(4, 12)), 11, 4)
    for frame, other in zip(part, film(predictor, predictor.read(CINE), 11, 4), strict=True):
        np.testing.assert_allclose(frame.contour, other.contour, atol=1e-3)
        np.testing.assert_array_equal(frame.frame, other.frame)


@pytest.mark.parametrize("kind", ["mp4", "avi", "gif", "GIF"])
def test_what_a_player_shows(kind: str, predictor: ContourPredictor, tmp_path: Path) -> None:
    """One picture a frame, of the drawn size; the contours where they are, in their colour."""
    traced = film(predictor, predictor.read(CINE), 3, 14)
    save_film(traced, tmp_path / "new" / f"film.{kind}")
    pictures = decoded(tmp_path / "new" / f"film.{kind}")
    assert pictures.shape == (12, PANEL, PANEL, 3)
    for frame, picture in zip(traced, pictures.astype(int), strict=True):
        drawn = np.asarray(frame.picture()).astype(int)
        x, y = ((frame.contour + 0.5) * PANEL / frame.frame.shape[0] - 0.5).round().astype(int).T
        assert np.abs(picture[y, x] - LINE).max() < 90, "chroma is stored at half the size"
        assert np.abs(picture - drawn).mean() < 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"film.{kind}"]


@pytest.mark.parametrize("name", ["film.mkv", "film", ".mp4", "film.mp4.txt"])
def test_other_kinds(name: str) -> None:
    with pytest.raises(EchoLMError, match="is no kind of video; valid: .mp4, .avi, .gif"):
        check_film(Path(name))
