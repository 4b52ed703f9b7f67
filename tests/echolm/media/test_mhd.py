"""MetaImage files as SimpleITK writes them, and headers that lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from echolm.errors import EchoLMError
from echolm.media.mhd import count_mhd, data_file, read_mhd_raster
from echolm.media.read import format_of, read_video


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(2, 256, (6, 30, 44), np.uint8)


@pytest.fixture
def written(tmp_path: Path, pictures: np.ndarray) -> Path:
    """A header with its raw file."""
    return write(tmp_path / "x.mhd", pictures)


def write(path: Path, pictures: np.ndarray, compressed: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(pictures)
    image.SetSpacing((0.3, 0.15, 1.0)[: pictures.ndim])
    SimpleITK.WriteImage(image, str(path), useCompression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["x.mhd", "x.mha"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_what_simpleitk_writes_is_read(
    tmp_path: Path, pictures: np.ndarray, dtype: str, name: str, compressed: bool
) -> None:
    path = write(tmp_path / name, pictures.astype(dtype), compressed)
    assert format_of(path).name == "MetaImage"
    video = read_video(path, [4, 0])
    assert np.array_equal(video.frames, pictures[[4, 0]])
    assert video.frames.dtype == np.uint8 and video.numbers.tolist() == [4, 0]
    assert read_mhd_raster(path).spacing == (0.15, 0.3)
    assert count_mhd(path) == 6


def test_one_picture_is_one_frame(tmp_path: Path, pictures: np.ndarray) -> None:
    path = write(tmp_path / "x.mhd", pictures[0])
    assert np.array_equal(read_video(path).frames, pictures[:1])
    assert data_file(path).name == "x.raw" and count_mhd(path) == 1


def test_big_endian_pixels_and_bytes_before_them(tmp_path: Path, pictures: np.ndarray) -> None:
    path = write(tmp_path / "x.mhd", pictures.astype(np.int16))
    text = path.read_text().replace("ByteOrderMSB = False", "ByteOrderMSB = True")
    content = b"12345" + pictures.astype(">i2").tobytes()
    (tmp_path / "x.raw").write_bytes(content)
    for size in (5, -1):
        line = f"HeaderSize = {size}\nElementDataFile"
        path.write_text(text.replace("ElementDataFile", line))
        assert np.array_equal(read_video(path).frames, pictures)
        expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        assert np.array_equal(expected, pictures)


LIES = [
    ("DimSize = 44 30 6", "DimSize = 44 30 7", "x.raw, are 7,920 bytes, but the header says 9,240"),
    ("DimSize = 44 30 6", "DimSize = 44 30 5", "are more bytes, but the header says 6,600"),
    ("DimSize = 44 30 6", "DimSize = 44 30 0", "DimSize is '44 30 0'; valid: 2 or 3 numbers"),
    ("DimSize = 44 30 6", "DimSize = 44 30 6 1", "DimSize is '44 30 6 1'; valid: 2 or 3 numbers"),
    ("DimSize = 44 30 6", "DimSize = a b c", "DimSize is 'a b c'; valid: whole numbers"),
    (
        "DimSize = 44 30 6",
        "DimSize = 99999 99999 99999",
        "announces 999,970,000,299,999",
    ),
    ("DimSize = 44 30 6", "Dimensions", "has a line 'Dimensions'; valid: FIELD = VALUE"),
    ("DimSize = 44 30 6", "NDims = 3", "states NDims twice"),
    ("DimSize = 44 30 6\n", "", "has no field DimSize"),
    ("MET_UCHAR", "MET_UCHAR_ARRAY", "ElementType is 'MET_UCHAR_ARRAY'; did you mean 'MET_UCHAR'"),
    ("BinaryData = True", "BinaryData = False", "its pixels are written as text"),
    ("x.raw", "../x.raw", "ElementDataFile is '../x.raw'; valid: the name of one file beside it"),
    ("x.raw", "/etc/passwd", "ElementDataFile is '/etc/passwd'; valid: the name of one file"),
    ("x.raw", "..", "ElementDataFile is '..'; valid: the name of one file"),
    ("x.raw", "LIST", "ElementDataFile is 'LIST'; valid: the name of one file"),
    ("x.raw", "x%03d.raw 1 6 1", "valid: the name of one file"),
    ("x.raw", "", "ElementDataFile is ''; valid: the name of one file"),
    ("x.raw", "away.raw", "its pixels, away.raw, cannot be read: No such file or directory"),
    ("ElementDataFile = x.raw", "", "has no field ElementDataFile: no MetaImage, or truncated"),
    ("CompressedData = False", "CompressedData = True", "its compressed pixels are damaged"),
    (
        "MET_UCHAR",
        "MET_UCHAR\nElementNumberOfChannels = 3",
        "ElementNumberOfChannels is '3': colour",
    ),
]


@pytest.mark.parametrize(("old", "new", "reason"), LIES)
def test_a_header_that_lies_is_one_line(written: Path, old: str, new: str, reason: str) -> None:
    text = written.read_text()
    assert old in text
    written.write_text(text.replace(old, new))
    with pytest.raises(EchoLMError) as raised:
        read_video(written)
    assert reason in str(raised.value) and str(raised.value).startswith(f"{written}: ")
    assert "\n" not in str(raised.value)


def test_a_compressed_file_is_not_expanded_beyond_its_header(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    path = write(tmp_path / "x.mhd", pictures, compressed=True)
    path.write_text(path.read_text().replace("DimSize = 44 30 6", "DimSize = 4 3 1"))
    with pytest.raises(EchoLMError, match="are more bytes, but the header says 12"):
        read_video(path)


@pytest.mark.filterwarnings("error")
def test_damaged_headers_are_one_line_or_pictures(written: Path) -> None:
    content, rng = written.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(20, len(content), 3):
            damaged[place] = rng.integers(256)
        written.write_bytes(damaged)
        try:
            assert read_video(written).frames.ndim == 3
        except EchoLMError as error:
            assert str(error).startswith(f"{written}: ") and "\n" not in str(error)
