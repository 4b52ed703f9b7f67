"""NIfTI files: upright pictures as SimpleITK reads them, gray levels, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from echolm.errors import EchoLMError
from echolm.media.nifti import count_nifti, read_nifti_raster
from echolm.media.read import format_of, read_video


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(2, 256, (6, 30, 44), np.uint8)


def save(path: Path, array: np.ndarray, kind: Any = nibabel.Nifti1Image, **header: Any) -> None:
    """An array in nibabel's order (x, y, ...), with fields of the header."""
    image = kind(array, np.diag([0.308, 0.154, 1, 1]))
    for name, value in header.items():
        image.header[name] = value
    path.write_bytes(image.to_bytes())


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii"])
def test_what_simpleitk_writes_is_read_upright(
    tmp_path: Path, pictures: np.ndarray, name: str
) -> None:
    image = SimpleITK.GetImageFromArray(pictures)
    image.SetSpacing((0.308, 0.154, 1.0))
    SimpleITK.WriteImage(image, str(tmp_path / name))
    video = read_video(tmp_path / name)
    assert np.array_equal(video.frames, pictures) and video.frames.dtype == np.uint8
    assert video.fps is None and video.numbers.tolist() == list(range(6))
    assert count_nifti(tmp_path / name) == 6
    assert read_nifti_raster(tmp_path / name).spacing == pytest.approx((0.154, 0.308))
    picked = read_video(tmp_path / name, [5, 0, 5])
    assert np.array_equal(picked.frames, pictures[[5, 0, 5]])
    assert picked.numbers.tolist() == [5, 0, 5]


def test_simpleitk_reads_the_same_of_what_nibabel_writes(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    nibabel.save(nibabel.Nifti1Image(pictures.T, np.diag([-1, -1, 1, 1])), tmp_path / "x.nii.gz")
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "x.nii.gz")))
    assert np.array_equal(expected, pictures)
    assert np.array_equal(read_video(tmp_path / "x.nii.gz").frames, expected)


@pytest.mark.parametrize("shape", [(44, 30), (44, 30, 1), (44, 30, 1, 1)])
def test_a_single_picture_is_one_frame(
    tmp_path: Path, pictures: np.ndarray, shape: tuple[int, ...]
) -> None:
    save(tmp_path / "x.nii", pictures[0].T.reshape(shape))
    assert np.array_equal(read_video(tmp_path / "x.nii").frames, pictures[:1])


def test_frames_may_be_the_fourth_axis(tmp_path: Path, pictures: np.ndarray) -> None:
    save(tmp_path / "x.nii", pictures.T[:, :, None])
    assert np.array_equal(read_video(tmp_path / "x.nii").frames, pictures)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i4", "f4", ">f4", "f8", "i8"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_gray_levels_of_any_type_are_the_same(
    tmp_path: Path, pictures: np.ndarray, kind: Any, dtype: str
) -> None:
    header = kind.header_class(endianness=">" if dtype.startswith(">") else "<")
    image = kind(pictures.T.astype(dtype), np.eye(4), header, dtype=np.dtype(dtype))
    (tmp_path / "x").write_bytes(gzip.compress(image.to_bytes()))
    assert format_of(tmp_path / "x").name == "NIfTI"
    assert np.array_equal(read_video(tmp_path / "x").frames, pictures)


def test_scaled_values_are_scaled_and_rounded(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.int16).reshape(4, 3)
    save(tmp_path / "x.nii", array, scl_slope=20.5, scl_inter=3.0)
    expected = np.rint(array.T * 20.5 + 3).astype(np.uint8)
    assert np.array_equal(read_video(tmp_path / "x.nii").frames[0], expected)


REFUSED = [
    ("below 0", np.array([[-1, 5]], np.int16), "has pixel values from -1 to 5; valid: gray"),
    ("above 255", np.array([[0, 4095]], np.uint16), "has pixel values from 0 to 4095; valid"),
    ("fractions", np.array([[0, 1.0]], np.float32), "would all be black; .*Multiply them by 255"),
    ("not a number", np.array([[0, np.nan]], np.float32), "no finite numbers"),
    ("infinite", np.array([[0, np.inf]], np.float64), "no finite numbers"),
    ("complex", np.array([[0, 1j]], np.complex64), "pixels of type complex64; valid: numbers"),
    ("in colour", np.zeros((4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "pixels of type RGB"),
    ("of two more axes", np.zeros((4, 4, 2, 3), np.uint8), "is of 4 x 4 x 2 x 3; valid: width"),
    ("of one axis", np.zeros(4, np.uint8), "is of 4; valid: width x height"),
]


@pytest.mark.parametrize(("name", "array", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_other_pixels_say_what_is_valid(
    tmp_path: Path, name: str, array: np.ndarray, reason: str
) -> None:
    save(tmp_path / "x.nii", array)
    with pytest.raises(EchoLMError, match=f"x.nii: .*{reason}"):
        read_video(tmp_path / "x.nii")


@pytest.mark.parametrize("is_gzipped", [True, False])
def test_a_header_that_announces_too_much_is_refused_at_once(
    tmp_path: Path, pictures: np.ndarray, is_gzipped: bool
) -> None:
    save(tmp_path / "x.nii", pictures.T)
    content = bytearray((tmp_path / "x.nii").read_bytes())
    content[42:48] = b"\xff\x7f" * 3  # 32,767 x 32,767 x 32,767
    (tmp_path / "x.nii").write_bytes(gzip.compress(content) if is_gzipped else content)
    with pytest.raises(EchoLMError, match="x.nii: its header announces 35,181,150,961,663 values"):
        read_video(tmp_path / "x.nii")


def test_a_missing_frame_is_told(tmp_path: Path, pictures: np.ndarray) -> None:
    save(tmp_path / "x.nii", pictures.T)
    with pytest.raises(EchoLMError, match="has no frame 6; it holds 6 frames"):
        read_video(tmp_path / "x.nii", [0, 6])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_gzipped", [True, False])
def test_damaged_files_are_one_line_or_pictures(
    tmp_path: Path, pictures: np.ndarray, is_gzipped: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.nii"
    save(path, pictures.T)
    content = path.read_bytes()
    if is_gzipped:
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EchoLMError, match="x.nii: the NIfTI file is damaged or truncated: "):
        read_video(path)
    rng = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(10, 352, 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_video(path).frames.ndim == 3
        except EchoLMError as error:
            assert "x.nii: " in str(error) and "\n" not in str(error)
    assert "".join(capfd.readouterr()) == ""
