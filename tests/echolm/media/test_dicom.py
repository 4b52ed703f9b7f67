"""DICOM cine loops: pydicom's own echocardiogram, and files that are not cine loops."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from media_support import (
    COLOUR,
    bt601,
    dataset_of,
    jpeg,
    save_dicom,
    tint,
    without_preamble,
    write_jpeg_dicom,
    write_raw,
    write_raw_422,
    write_rle,
)
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from echolm.errors import EchoLMError
from echolm.media.dicom import why_no_clip
from echolm.media.read import format_of, read_video
from echolm.media.video import square_crop

CINE = Path(str(get_testdata_file("examples_ybr_color.dcm")))


def test_a_real_echo_cine_decodes_and_crops() -> None:
    video = read_video(CINE)
    assert video.frames.shape == (30, 240, 320) and video.frames.dtype == np.uint8
    assert video.fps == pytest.approx(30, abs=0.01) and video.frames.std() > 10
    assert square_crop(video.frames).shape == (30, 240, 240)


def test_gray_is_the_stored_luma_not_the_rgb_round_trip() -> None:
    rgb = pydicom.dcmread(CINE).pixel_array[[3]]
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_video(CINE, [3]).frames - luma).mean() < 0.5


def test_wanted_frames_come_in_the_order_asked_for() -> None:
    video = read_video(CINE, [29, 0, 7, 7])
    assert np.array_equal(video.frames, read_video(CINE).frames[[29, 0, 7, 7]])


def test_a_missing_frame_is_named() -> None:
    with pytest.raises(EchoLMError, match="has no frame 30; it holds 30 frames"):
        read_video(CINE, [30])


def test_rgb_and_monochrome_files(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), np.uint8)
    for kind, stored in (("RGB", frames), ("MONOCHROME2", frames[..., 0])):
        dataset.set_pixel_data(stored, kind, 8)
        dataset.save_as(tmp_path / kind)
    assert np.array_equal(read_video(tmp_path / "MONOCHROME2").frames, frames[..., 0])
    expected = 0.299 * frames[..., 0] + 0.587 * frames[..., 1] + 0.114 * frames[..., 2]
    assert np.abs(read_video(tmp_path / "RGB").frames - expected).max() <= 0.5001


def test_what_is_no_cine_loop_says_so(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    path = tmp_path / "x.dcm"
    path.write_bytes(CINE.read_bytes()[:20_000])
    with pytest.raises(EchoLMError, match="x.dcm"):
        read_video(path)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.save_as(path)
    with pytest.raises(EchoLMError, match="PALETTE COLOR with 8 bits; valid"):
        read_video(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(EchoLMError, match="holds no pixels"):
        read_video(path)


def changed(path: Path, **fields: object) -> Path:
    """The cine with other fields; their text is written as it is."""
    dataset = pydicom.dcmread(CINE)
    for name, value in fields.items():
        placeholder = "7" * len(str(value))
        setattr(dataset, name, placeholder)
        dataset.save_as(path)
        path.write_bytes(path.read_bytes().replace(placeholder.encode(), str(value).encode(), 1))
        dataset = pydicom.dcmread(path)
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [None, [0]])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            "100000000000",
            "NumberOfFrames is 100000000000, but its pixels, [0-9]+ bytes, are 30 frames",
        ),
        ("0000", "NumberOfFrames is '0000'; valid: whole numbers from 1"),
        ("-300", "NumberOfFrames is '-300'; valid: whole numbers from 1"),
        ("many", "NumberOfFrames is"),
    ],
)
def test_an_impossible_number_of_frames_is_named(
    tmp_path: Path, given: str, says: str, frames: list[int] | None
) -> None:
    with pytest.raises(EchoLMError, match=f"x.dcm: its field {says}"):
        read_video(changed(tmp_path / "x.dcm", NumberOfFrames=given), frames)


def test_pixels_that_are_not_compressed_bound_the_frames_exactly(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    dataset.set_pixel_data(np.zeros((2, 8, 10), np.uint8), "MONOCHROME2", 8)
    dataset.NumberOfFrames = 3
    dataset.save_as(tmp_path / "x.dcm")
    with pytest.raises(
        EchoLMError,
        match="NumberOfFrames is 3, but its pixels, 160 bytes, are 2 frames",
    ):
        read_video(tmp_path / "x.dcm")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", ["-3333", "quick", "00000"])
def test_a_frame_rate_that_is_none_is_not_given(tmp_path: Path, rate: str) -> None:
    assert read_video(changed(tmp_path / "x.dcm", FrameTime=rate), [0]).fps is None


@pytest.mark.filterwarnings("error")
def test_a_damaged_file_is_one_line_or_frames(tmp_path: Path) -> None:
    content, draw, read = CINE.read_bytes(), random.Random(0), 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            damaged[draw.randrange(132, 2400)] = draw.randrange(256)
        (tmp_path / "x.dcm").write_bytes(damaged[: draw.choice([2400, 20_000, None])])
        try:
            read += len(read_video(tmp_path / "x.dcm", [0, 2]).frames)
        except EchoLMError as error:
            assert "x.dcm: " in str(error) and "\n" not in str(error)
    assert read


# how many frames


@pytest.fixture
def pictures() -> np.ndarray:
    """Seven pictures of noise, 16 x 24."""
    return np.random.default_rng(0).integers(0, 256, (7, 16, 24), np.uint8)


def say_frames(path: Path, count: int | None) -> None:
    """Write another number of frames into the header of a file."""
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = count
    if count is None:
        del dataset.NumberOfFrames
    dataset.save_as(path)


KINDS = {
    "raw": write_raw(),
    "raw 422": write_raw_422,
    "RLE": write_rle(colour=False),
    "JPEG": write_jpeg_dicom("MONOCHROME2"),
    "JPEG without a table": write_jpeg_dicom("MONOCHROME2", table=False),
    "JPEG in fragments": write_jpeg_dicom("MONOCHROME2", table=False, fragments=2),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_neither_left_out_nor_invented(
    kind: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    """A header that says less or more is one line with both numbers. One that says nothing is read.

    Whatever is wanted of the file.
    """
    KINDS[kind](tmp_path / "x.dcm", pictures)
    for count in (1, 6, 8, 30):
        say_frames(tmp_path / "x.dcm", count)
        for frames in (None, [0]):
            with pytest.raises(EchoLMError) as error:
                read_video(tmp_path / "x.dcm", frames)
            assert f"NumberOfFrames is {count}, but its pixels" in str(error.value)
            assert "are 7 frames" in str(error.value)
            assert "dcmodify -m NumberOfFrames=7" in str(error.value)
    say_frames(tmp_path / "x.dcm", None)
    assert len(read_video(tmp_path / "x.dcm").frames) == 7
    assert len(read_video(tmp_path / "x.dcm", [6]).frames) == 1


def test_padding_is_no_frame(tmp_path: Path, pictures: np.ndarray) -> None:
    dataset = dataset_of(pictures)
    content = pictures.tobytes() + bytes(pictures[0].size - 2)
    save_dicom(tmp_path / "x.dcm", dataset, ExplicitVRLittleEndian, content)
    assert np.array_equal(read_video(tmp_path / "x.dcm").frames, pictures)


def test_half_chroma_that_is_whole_says_so(tmp_path: Path, pictures: np.ndarray) -> None:
    """YBR_FULL_422 in the header, 3 bytes a pixel in the file."""
    content = np.repeat(pictures[..., None], 3, -1).tobytes()
    fields = COLOUR | {"PhotometricInterpretation": "YBR_FULL_422"}
    save_dicom(tmp_path / "x.dcm", dataset_of(pictures, **fields), ExplicitVRLittleEndian, content)
    for frames in (None, [0]):
        with pytest.raises(EchoLMError, match="3 bytes each and not 2; correct the field Photo"):
            read_video(tmp_path / "x.dcm", frames)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"SamplesPerPixel": 3}, "is MONOCHROME2 with SamplesPerPixel 3; valid: 1"),
        ({"PhotometricInterpretation": "RGB"}, "is RGB with SamplesPerPixel 1; valid: 3"),
        ({"PixelRepresentation": 1}, "signed numbers"),
        ({"Rows": None}, "its field Rows is None"),
        ({"Columns": 0}, "its field Columns is 0"),
        ({"Rows": 4000}, "are less than one frame"),
    ],
    ids=str,
)
def test_headers_that_contradict_the_pixels(
    fields: dict[str, object], says: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    write_raw(**fields)(tmp_path / "x.dcm", pictures)
    with pytest.raises(EchoLMError, match=f"x.dcm: .*{says}"):
        read_video(tmp_path / "x.dcm")


def test_pictures_of_another_size_than_the_header_says(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    frames = [jpeg(picture) for picture in pictures]
    dataset = dataset_of(pictures, Rows=24, Columns=16)
    save_dicom(tmp_path / "x.dcm", dataset, JPEGBaseline8Bit, encapsulate(frames), True)
    with pytest.raises(EchoLMError, match="frame 0 is 24 x 16 pixels; its header says 16 x 24"):
        read_video(tmp_path / "x.dcm")


# what JPEG pictures say of their colours


def jpeg_of_rgb(picture: np.ndarray, ids: bytes = b"RGB", adobe: int | None = None) -> bytes:
    """R, G, B as the three components, without a transform and without the marker JFIF."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=96, keep_rgb=True)
    content = buffer.getvalue()
    frame = content.index(b"\xff\xc0")
    scan = content.index(b"\xff\xda")
    renamed = bytearray(content)
    for number in range(3):
        renamed[frame + 10 + 3 * number] = ids[number]
        renamed[scan + 5 + 2 * number] = ids[number]
    tables = renamed.index(b"\xff\xdb")
    marker = b""
    if adobe is not None:
        marker = b"\xff\xee\x00\x0eAdobe" + bytes([0, 100, 0, 0, 0, 0, adobe])
    return b"\xff\xd8" + marker + bytes(renamed[tables:])


def jpeg_without_marker(picture: np.ndarray) -> bytes:
    """Y, Cb, Cr with the ids 1, 2, 3, without the marker JFIF."""
    content = jpeg(picture)
    return content[:2] + content[content.index(b"\xff\xdb") :]


@pytest.mark.parametrize("header", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (jpeg, "YBR"),
        (jpeg_without_marker, "YBR"),
        (jpeg_of_rgb, "RGB"),
        (lambda picture: jpeg_of_rgb(picture, b"rgb"), "RGB"),
        (lambda picture: jpeg_of_rgb(picture, bytes([1, 2, 3]), adobe=0), "RGB"),
        (lambda picture: jpeg_of_rgb(picture, bytes([0, 1, 2])), ""),
    ],
    ids=["JFIF", "ids 1-2-3", "ids RGB", "ids rgb", "Adobe", "says nothing"],
)
def test_a_jpeg_tells_its_own_colours(
    make: Callable[[np.ndarray], bytes],
    told: str,
    header: str,
    tmp_path: Path,
    pictures: np.ndarray,
) -> None:
    """What is in the picture counts more than the header, which counts where it says nothing."""
    smooth = np.linspace(20, 230, pictures[0].size).reshape(pictures[0].shape)
    colours = tint(smooth)
    content = make(colours)
    fields = COLOUR | {"PhotometricInterpretation": header}
    dataset = dataset_of(smooth[None], **fields)
    save_dicom(tmp_path / "x.dcm", dataset, JPEGBaseline8Bit, encapsulate([content]), True)
    frame = read_video(tmp_path / "x.dcm").frames[0].astype(float)
    expected = bt601(colours)
    if not told and header != "RGB":
        expected = colours[..., 0].astype(float)  # taken for Y, as the header says
    assert np.abs(frame - expected).mean() < 2


REFERENCES = [
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "SC_rgb_rle.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFERENCES)
def test_pydicoms_pictures_of_one_chart_have_one_gray(name: str) -> None:
    """The same colour chart, stored in seven ways by other programs."""
    chart = bt601(pydicom.dcmread(str(get_testdata_file("SC_rgb_rle.dcm"))).pixel_array)
    frame = read_video(Path(str(get_testdata_file(name)))).frames[0].astype(float)
    assert np.abs(frame - chart).mean() < 1


# what is no clip


def test_files_without_a_preamble_are_dicom_and_others_are_not(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    without_preamble(write_raw())(tmp_path / "x", pictures)
    assert format_of(tmp_path / "x").name == "DICOM"
    for content in (b"", b"\x02\x00", b"\x08\x00" + bytes(200), b"\x08\x00text", b"RIFF....AVI "):
        (tmp_path / "y").write_bytes(content)
        assert format_of(tmp_path / "y").name != "DICOM"
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    with pytest.raises(EchoLMError, match="x: "):
        read_video(tmp_path / "x")


@pytest.mark.filterwarnings("ignore")
def test_kinds_of_dicom_files_without_pictures() -> None:
    for name in ("test-SR.dcm", "waveform_ecg.dcm", "rtplan.dcm"):
        assert "without pictures" in why_no_clip(Path(str(get_testdata_file(name))))
    for name in ("examples_ybr_color.dcm", "SC_rgb_rle.dcm", "image_dfl.dcm", "no_meta.dcm"):
        assert why_no_clip(Path(str(get_testdata_file(name)))) == ""
