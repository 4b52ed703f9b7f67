"""DICOM files of all kinds of pixels: what is gray, what is colour, and what is refused by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from lossless_jpeg import lossless_jpeg
from media_support import (
    COLOUR,
    Write,
    bt601,
    dataset_of,
    grays_as_rgb,
    jpeg,
    save_dicom,
    write_jpeg_dicom,
    write_raw,
    write_raw_rgb,
    write_rle,
)
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from echolm.errors import EchoLMError
from echolm.media.dicom import count_dicom, read_dicom
from echolm.media.read import read_video
from echolm.media.reading import Reading, Skipped

REFUSE, SKIP, GRAY = Reading(colour="refuse"), Reading(colour="skip"), Reading(colour="gray")
COUNT = 5


@pytest.fixture
def pictures() -> np.ndarray:
    """Gray pictures, 5 x 32 x 48, smooth and moving."""
    y, x = np.mgrid[:32, :48]
    frames = [120 + 80 * np.sin(x / 6 + time) + 30 * np.cos(y / 5) for time in range(COUNT)]
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def flow(pictures: np.ndarray, share: float = 0.1) -> np.ndarray:
    """The pictures with a box in red, as colour Doppler draws flow: T x H x W x 3."""
    colours = np.stack([grays_as_rgb(picture) for picture in pictures])
    rows = round(share * pictures[0].size / 24)
    colours[:, 4 : 4 + rows, 8:32] = (220, 30, 20)
    return colours


def write_encapsulated(
    encode: Callable[[np.ndarray], bytes], syntax: str, kind: str
) -> Callable[[Path, np.ndarray], None]:
    """Pictures, each compressed by ``encode``. ``kind`` is what the header says of them."""

    def write(path: Path, frames: np.ndarray) -> None:
        fields: dict[str, object] = {} if frames.ndim == 3 else dict(COLOUR)
        dataset = dataset_of(frames, **fields | {"PhotometricInterpretation": kind})
        content = encapsulate([encode(frame) for frame in frames])
        save_dicom(path, dataset, syntax, content, True)

    return write


def jpeg_2000(picture: np.ndarray) -> bytes:
    """A picture without loss, its colours transformed as JPEG 2000 does."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue()


def write_raw_colours(kind: str) -> Callable[[Path, np.ndarray], None]:
    """Uncompressed pictures of three values a pixel."""

    def write(path: Path, frames: np.ndarray) -> None:
        dataset = dataset_of(frames, **COLOUR | {"PhotometricInterpretation": kind})
        save_dicom(path, dataset, ExplicitVRLittleEndian, frames.tobytes())

    return write


def ycc(rgb: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr of pictures."""
    return np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in rgb])


# kinds of compression


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("encode", "syntax", "kind"),
    [
        (jpeg_2000, JPEG2000Lossless, "MONOCHROME2"),
        (lossless_jpeg, JPEGLosslessSV1, "MONOCHROME2"),
    ],
)
def test_gray_without_loss_is_bitwise_what_was_written(
    encode: Callable[[np.ndarray], bytes],
    syntax: str,
    kind: str,
    tmp_path: Path,
    pictures: np.ndarray,
) -> None:
    write_encapsulated(encode, syntax, kind)(tmp_path / "x", pictures)
    assert np.array_equal(read_dicom(tmp_path / "x", reading=REFUSE).frames, pictures)
    assert np.array_equal(read_dicom(tmp_path / "x", [4, 1]).frames, pictures[[4, 1]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("encode", "syntax", "kind"),
    [
        (jpeg_2000, JPEG2000Lossless, "YBR_RCT"),
        (jpeg_2000, JPEG2000Lossless, "RGB"),
        (lossless_jpeg, JPEGLosslessSV1, "RGB"),
    ],
)
def test_colours_without_loss_are_read_as_luma(
    encode: Callable[[np.ndarray], bytes],
    syntax: str,
    kind: str,
    tmp_path: Path,
    pictures: np.ndarray,
) -> None:
    colours = flow(pictures)
    write_encapsulated(encode, syntax, kind)(tmp_path / "x", colours)
    frames = read_dicom(tmp_path / "x", reading=GRAY).frames
    assert np.array_equal(frames, np.rint(bt601(colours)))


def test_lossless_jpeg_of_y_cb_cr_gives_y(tmp_path: Path, pictures: np.ndarray) -> None:
    stored = ycc(flow(pictures))
    write_encapsulated(lossless_jpeg, JPEGLosslessSV1, "YBR_FULL")(tmp_path / "x", stored)
    assert np.array_equal(read_dicom(tmp_path / "x").frames, stored[..., 0])
    with pytest.raises(Skipped):
        read_dicom(tmp_path / "x", reading=SKIP)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm"]
)
def test_files_of_other_programs_show_the_same_chart(name: str) -> None:
    """Lossless JPEG, JPEG 2000 and JPEG, against pydicom's own reading of the RLE file."""
    chart = bt601(pydicom.dcmread(str(get_testdata_file("SC_rgb_rle.dcm"))).pixel_array)
    frame = read_video(Path(str(get_testdata_file(name)))).frames[0].astype(float)
    assert np.abs(frame - chart).mean() < 1


@pytest.mark.filterwarnings("ignore")
def test_the_reversible_transform_of_jpeg_2000_is_undone() -> None:
    path = Path(str(get_testdata_file("examples_jpeg2k.dcm")))
    expected = bt601(pydicom.dcmread(path).pixel_array)
    assert np.abs(read_video(path).frames[0] - expected).max() <= 0.5001


def test_a_damaged_lossless_picture_is_one_line(tmp_path: Path, pictures: np.ndarray) -> None:
    def encode(picture: np.ndarray) -> bytes:
        return lossless_jpeg(picture)[:400]

    write_encapsulated(encode, JPEGLosslessSV1, "MONOCHROME2")(tmp_path / "x", pictures)
    with pytest.raises(EchoLMError, match="x: its pixels cannot be decoded: ") as error:
        read_dicom(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_compression_that_nobody_here_decodes_is_named(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    write_encapsulated(jpeg_2000, JPEGLSLossless, "MONOCHROME2")(tmp_path / "x", pictures)
    with pytest.raises(EchoLMError, match="compressed as JPEG-LS Lossless.*gdcmconv --raw IN OUT"):
        read_dicom(tmp_path / "x")


# what is colour


GRAY_FORMS: dict[str, Write] = {
    "raw": write_raw(),
    "raw RGB by pixel": write_raw_rgb(0),
    "raw RGB by plane": write_raw_rgb(1),
    "RLE RGB": write_rle(colour=True),
    "JPEG": write_jpeg_dicom("MONOCHROME2"),
    "JPEG YBR_FULL_422": write_jpeg_dicom("YBR_FULL_422"),
    "JPEG labelled RGB": write_jpeg_dicom("RGB"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", GRAY_FORMS)
def test_gray_pictures_are_gray_however_they_are_stored(
    form: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    GRAY_FORMS[form](tmp_path / "x", pictures)
    whole = read_dicom(tmp_path / "x", reading=GRAY).frames
    for reading in (REFUSE, SKIP):
        assert np.array_equal(read_dicom(tmp_path / "x", reading=reading).frames, whole)


COLOUR_FORMS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "raw RGB": write_raw_colours("RGB"),
    "raw YBR": lambda path, frames: write_raw_colours("YBR_FULL")(path, ycc(frames)),
    "JPEG": write_encapsulated(jpeg, JPEGBaseline8Bit, "YBR_FULL_422"),
    "JPEG labelled MONOCHROME2": write_encapsulated(jpeg, JPEGBaseline8Bit, "MONOCHROME2"),
    "JPEG 2000": write_encapsulated(jpeg_2000, JPEG2000Lossless, "YBR_RCT"),
    "lossless JPEG": write_encapsulated(lossless_jpeg, JPEGLosslessSV1, "RGB"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", COLOUR_FORMS)
def test_colour_is_refused_skipped_or_read_as_luma(
    form: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    colours = flow(pictures)
    COLOUR_FORMS[form](tmp_path / "x", colours)
    with pytest.raises(EchoLMError, match="x: frame 0 is in colour; choose") as error:
        read_dicom(tmp_path / "x", [1], REFUSE)
    assert not isinstance(error.value, Skipped)
    with pytest.raises(Skipped, match="colour=skip"):
        read_dicom(tmp_path / "x", [1], SKIP)
    frames = read_dicom(tmp_path / "x", [1], GRAY).frames
    assert np.abs(frames[0] - bt601(colours[1])).mean() < 2


@pytest.mark.parametrize(("share", "is_colour"), [(0.005, False), (0.08, True)])
def test_a_coloured_line_on_gray_is_no_colour(
    share: float, is_colour: bool, tmp_path: Path, pictures: np.ndarray
) -> None:
    colours = np.stack([grays_as_rgb(picture) for picture in pictures])
    colours[:, 30:, : round(share * 32 * 48 / 2)] = (20, 230, 40)  # an ECG at the bottom
    write_raw_colours("RGB")(tmp_path / "x", colours)
    if is_colour:
        with pytest.raises(Skipped):
            read_dicom(tmp_path / "x", reading=SKIP)
    else:
        assert len(read_dicom(tmp_path / "x", reading=SKIP).frames) == COUNT


def test_colour_that_begins_late_is_found_whatever_is_wanted(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    colours = np.stack([grays_as_rgb(picture) for picture in pictures])
    colours[-1] = flow(pictures)[-1]
    write_raw_colours("RGB")(tmp_path / "x", colours)
    with pytest.raises(Skipped):
        read_dicom(tmp_path / "x", [0], SKIP)


# stills, and how many frames


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [None, 1])
def test_a_still_is_kept_or_skipped(
    count: int | None, tmp_path: Path, pictures: np.ndarray
) -> None:
    write_raw(NumberOfFrames=count)(tmp_path / "x", pictures[:1])
    assert np.array_equal(read_dicom(tmp_path / "x").frames, pictures[:1])
    assert count_dicom(tmp_path / "x") == 1
    with pytest.raises(Skipped, match="x: a still image, skipped: stills=skip"):
        read_dicom(tmp_path / "x", reading=Reading(stills="skip"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stated", [COUNT, None])
@pytest.mark.parametrize("form", GRAY_FORMS)
def test_frames_are_counted_without_decoding(
    form: str, stated: int | None, tmp_path: Path, pictures: np.ndarray
) -> None:
    GRAY_FORMS[form](tmp_path / "x", pictures)
    if stated is None:
        dataset = pydicom.dcmread(tmp_path / "x")
        del dataset.NumberOfFrames
        dataset.save_as(tmp_path / "x")
    assert count_dicom(tmp_path / "x") == COUNT


def test_what_is_no_dicom_file_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not found")
    with pytest.raises(EchoLMError, match="x: "):
        count_dicom(tmp_path / "x")


# kinds of pixels that are refused


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11},
            "is MONOCHROME2 with 16 bits; valid: 8 bits .* Choose a window",
        ),
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            "is PALETTE COLOR with 8 bits; valid: .* gdcmconv --apply-lut IN OUT",
        ),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "is MONOCHROME1 with 8 bits"),
    ],
    ids=str,
)
def test_other_pixels_are_refused_by_name(
    fields: dict[str, object], says: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    write_raw(**fields)(tmp_path / "x", pictures)
    for reading in (REFUSE, SKIP, GRAY):
        with pytest.raises(EchoLMError, match=says) as error:
            read_dicom(tmp_path / "x", reading=reading)
        assert not isinstance(error.value, Skipped)
