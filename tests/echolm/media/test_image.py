"""Still images are videos of one frame. Each kind of pixels has its rule."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_support import bt601
from PIL import Image
from skimage.util import img_as_ubyte

from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError
from echolm.media.image import PNG, png_size, read_image
from echolm.media.read import format_of, read_video


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)


@pytest.mark.parametrize("name", ["x.png", "x", "x.avi"])
def test_a_png_is_one_frame_whatever_it_is_called(
    tmp_path: Path, picture: np.ndarray, name: str
) -> None:
    Image.fromarray(picture).save(tmp_path / name, "PNG")
    video = read_video(tmp_path / name)
    assert np.array_equal(video.frames, picture[None]) and video.frames.dtype == np.uint8
    assert video.fps is None and video.numbers.tolist() == [0]
    assert np.array_equal(read_video(tmp_path / name, [0, 0]).frames, np.stack([picture] * 2))
    with pytest.raises(EchoLMError, match=f"{name}: has no frame 1; it holds 1 frames"):
        read_video(tmp_path / name, [1])


def test_a_gray_jpeg_is_what_pillow_decodes(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "x.jpg", quality=95)
    with Image.open(tmp_path / "x.jpg") as image:
        assert np.array_equal(read_video(tmp_path / "x.jpg").frames[0], np.array(image))


def test_jpegs_one_after_another_are_a_video(tmp_path: Path, picture: np.ndarray) -> None:
    content = b""
    for shift in range(3):
        Image.fromarray(np.roll(picture, shift)).save(tmp_path / "one.jpg")
        content += (tmp_path / "one.jpg").read_bytes()
    (tmp_path / "x.mjpeg").write_bytes(content)
    assert format_of(tmp_path / "one.jpg").name == "still image"
    assert format_of(tmp_path / "x.mjpeg").name == "MJPEG video"
    assert len(read_video(tmp_path / "x.mjpeg").frames) == 3


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)


def write_png(path: Path, pixels: np.ndarray, bits: int, kind: int, extra: bytes = b"") -> None:
    """A PNG chunk by chunk, of any depth and kind of colours (0 gray, 2 RGB, 3 palette).

    ``pixels`` are H x W or H x W x 3 samples of ``bits`` bits, ``extra`` chunks before the pixels.
    """
    height, width = pixels.shape[:2]
    if bits == 16:
        rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        samples = pixels.reshape(height, -1).astype(np.uint8)
        each = np.unpackbits(samples[..., None], axis=-1)[..., 8 - bits :]
        rows = np.packbits(each.reshape(height, -1), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(content))
    path.write_bytes(PNG + chunks + png_chunk(b"IEND", b""))


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gray_of_fewer_bits_is_spread_over_0_to_255(
    tmp_path: Path, picture: np.ndarray, bits: int
) -> None:
    levels = picture >> (8 - bits)
    write_png(tmp_path / "x.png", levels, bits, 0)
    frame = read_video(tmp_path / "x.png").frames[0]
    assert np.array_equal(frame, levels * (255 // (2**bits - 1)))


def test_gray_of_16_bits_is_its_upper_8(tmp_path: Path) -> None:
    """As scikit-image makes 8 bits of 16."""
    deep = np.random.default_rng(2).integers(0, 65536, (40, 56), np.uint16)
    write_png(tmp_path / "x.png", deep, 16, 0)
    assert np.array_equal(read_video(tmp_path / "x.png").frames[0], img_as_ubyte(deep))


@pytest.mark.parametrize("brightest", [1, 255, 4095])
def test_16_bits_that_were_never_scaled_are_refused(tmp_path: Path, brightest: int) -> None:
    write_png(tmp_path / "x.png", np.array([[0, brightest]]), 16, 0)
    with pytest.raises(EchoLMError, match=f"x.png: .* brightest pixel is {brightest} of 65535"):
        read_video(tmp_path / "x.png")


def test_16_bits_of_black_are_black(tmp_path: Path) -> None:
    write_png(tmp_path / "x.png", np.zeros((3, 4), int), 16, 0)
    assert not read_video(tmp_path / "x.png").frames.any()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_gray_in_other_kinds_of_pixels_is_its_value(
    tmp_path: Path, picture: np.ndarray, mode: str
) -> None:
    image = Image.fromarray(picture).convert(mode)
    image.save(tmp_path / "x.png")
    expected = np.array(image.convert("L"))
    assert np.array_equal(read_video(tmp_path / "x.png").frames[0], expected)
    if mode not in ("P", "1"):
        assert np.array_equal(expected, picture)


def test_rgb_of_16_bits_is_its_upper_8(tmp_path: Path) -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (8, 9), np.uint16)
    write_png(tmp_path / "x.png", np.repeat(deep[..., None], 3, axis=-1), 16, 2)
    assert np.array_equal(read_video(tmp_path / "x.png").frames[0], deep >> 8)


def test_a_palette_is_read_by_its_colours(tmp_path: Path, colours: np.ndarray) -> None:
    numbers = np.random.default_rng(4).integers(0, 4, (10, 12))
    grays = np.array([7, 200, 90, 255])
    palette = png_chunk(b"PLTE", grays.repeat(3).astype(np.uint8).tobytes())
    write_png(tmp_path / "x.png", numbers, 2, 3, palette)
    assert np.array_equal(read_video(tmp_path / "x.png").frames[0], grays[numbers])
    palette = png_chunk(b"PLTE", colours[0, :4].tobytes())
    write_png(tmp_path / "y.png", numbers, 2, 3, palette)
    with pytest.raises(EchoLMError, match="y.png: is a picture in colours"):
        read_video(tmp_path / "y.png")
    as_gray = read_image(tmp_path / "y.png", colour="gray").frames[0]
    assert np.array_equal(as_gray, np.rint(bt601(colours[0, :4]))[numbers])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_colours_are_refused_or_read_as_gray(
    tmp_path: Path, colours: np.ndarray, kind: str
) -> None:
    colours[0, 0] = 3  # the first pixel is gray, so that the second is named
    path = tmp_path / "x"
    Image.fromarray(colours).save(path, kind, quality=95, subsampling=0)
    with pytest.raises(EchoLMError, match="x: is a picture in colours .R G B of column .*: ffmpeg"):
        read_video(path)
    gray = read_image(path, [0, 0], colour="gray").frames
    assert gray.shape == (2, 40, 56) and np.array_equal(gray[0], gray[1])
    with Image.open(path) as image:
        expected = bt601(np.array(image).astype(float))
    # the stored Y of a JPEG is that of its colours but for their rounding
    apart = np.abs(gray[0] - expected)
    assert apart.max() <= (0.5 if kind == "PNG" else 40) and apart.mean() < 1


def test_one_pixel_in_colour_is_named(tmp_path: Path, picture: np.ndarray) -> None:
    pixels = np.repeat(picture[..., None], 3, axis=-1)
    pixels[7, 11] = 1, 2, 3
    Image.fromarray(pixels).save(tmp_path / "x.png")
    with pytest.raises(EchoLMError, match="R G B of column 11, row 7: 1 2 3"):
        read_video(tmp_path / "x.png")


def test_a_gray_jpeg_that_is_stored_in_colours_is_its_luma(
    tmp_path: Path, picture: np.ndarray
) -> None:
    smooth = np.array(Image.fromarray(picture).resize((56, 40)))
    Image.fromarray(smooth).convert("RGB").save(tmp_path / "x.jpg", quality=95)
    with Image.open(tmp_path / "x.jpg") as image:
        image.draft("L", image.size)
        expected = np.array(image)
    assert np.array_equal(read_video(tmp_path / "x.jpg").frames[0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_refused(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    image = Image.fromarray(picture).convert(mode)
    alpha = np.full(picture.shape, 255, np.uint8)
    alpha[3, 4] = 254
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "x.png")
    with pytest.raises(EchoLMError, match="x.png: has transparent pixels; valid: opaque"):
        read_image(tmp_path / "x.png", colour="gray")


@pytest.mark.parametrize(("bits", "level"), [(8, 9), (16, 9000)])
def test_a_transparent_colour_is_refused(tmp_path: Path, bits: int, level: int) -> None:
    transparent = png_chunk(b"tRNS", struct.pack(">H", level))
    write_png(tmp_path / "x.png", np.array([[level, level + 1]]), bits, 0, transparent)
    with pytest.raises(EchoLMError, match="x.png: has (a )?transparent"):
        read_video(tmp_path / "x.png")


def test_ink_is_no_light(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "x.jpg")
    with pytest.raises(EchoLMError, match="x.jpg: is JPEG with pixels of kind CMYK; valid: gray"):
        read_video(tmp_path / "x.jpg")


@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=20, suppress_health_check=[*HealthCheck])
def test_the_size_is_told_without_decoding(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (width, height)).save(path)
    assert png_size(path) == (height, width)
    path.write_bytes(path.read_bytes()[:40])
    assert png_size(path) == (height, width), "of a picture that is cut off"
    path.write_bytes(path.read_bytes()[:20])
    assert png_size(path) is None


def test_other_files_have_no_size_of_a_png(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "x.jpg")
    assert png_size(tmp_path / "x.jpg") is None


def test_an_animation_is_no_still(tmp_path: Path, picture: np.ndarray) -> None:
    pages = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    pages[0].save(tmp_path / "x.png", save_all=True, append_images=pages[1:])
    with pytest.raises(EchoLMError, match="x.png: holds 2 pictures; valid: one picture a file"):
        read_video(tmp_path / "x.png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_or_damaged_picture_is_one_line_or_pixels(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    path = tmp_path / "x"
    Image.fromarray(picture).save(path, kind)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EchoLMError, match="x: the picture is damaged or truncated: "):
        read_video(path)
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_video(path).frames.ndim == 3
        except EchoLMError as error:
            assert "x: " in str(error) and "\n" not in str(error)


def test_only_mjpeg_videos_are_read_by_index(tmp_path: Path, picture: np.ndarray) -> None:
    write_mjpeg(tmp_path / "x.avi", picture[None], 50)
    Image.fromarray(picture).save(tmp_path / "x.png")
    assert format_of(tmp_path / "x.avi").indexable
    assert not format_of(tmp_path / "x.png").indexable
