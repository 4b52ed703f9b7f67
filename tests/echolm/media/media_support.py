"""Clips of every form that EchoLM reads, made from gray pictures, and AVI files chunk by chunk."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, fragment_frame, itemize_fragment
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from echolm.datasets.phantom.generate import write_mjpeg

Write = Callable[[Path, np.ndarray], None]
"""Writes a clip of T x H x W uint8 pictures."""


# JPEG


def jpeg(picture: np.ndarray, subsampling: int = 0) -> bytes:
    """A picture as JPEG: gray H x W, or colour H x W x 3 with a JFIF marker."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=96, subsampling=subsampling)
    return buffer.getvalue()


def grays_as_rgb(picture: np.ndarray) -> np.ndarray:
    """A gray picture with three equal channels."""
    return np.repeat(picture[..., None], 3, axis=-1)


def tint(picture: np.ndarray) -> np.ndarray:
    """A picture in colours: R, G, B are different shades of its gray."""
    shades = np.stack([picture * 0.9, picture * 0.5, picture * 0.2 + 40], axis=-1)
    return shades.astype(np.uint8)


def bt601(rgb: np.ndarray) -> np.ndarray:
    """The luma of R, G, B."""
    return rgb @ np.array([0.299, 0.587, 0.114])


# AVI


def chunk(name: bytes, content: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def index_entries(frames: Sequence[bytes]) -> list[tuple[int, int]]:
    """Offset and length of each frame's chunk, as the index of ``avi`` says them."""
    entries = []
    offset = len(b"movi")
    for content in frames:
        entries.append((offset, len(content)))
        offset += len(chunk(b"00dc", content))
    return entries


def avi(
    frames: Sequence[bytes],
    size: tuple[int, int],
    entries: Sequence[tuple[int, int]] | None = None,
    announced: int | None = None,
) -> bytes:
    """An MJPEG AVI of 50 frames per second.

    Args:
        frames: the content of each frame's chunk. Empty: a frame of zero length.
        size: height and width.
        entries: of the index. None: a sound index.
        announced: the number of frames in the header. None: that of ``frames``.
    """
    height, width = size
    count = len(frames) if announced is None else announced
    if entries is None:
        entries = index_entries(frames)
    main = struct.pack("<14I", 20_000, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vids" + b"MJPG" + struct.pack("<IHHIIIII", 0, 0, 0, 0, 1, 50, 0, count)
    stream += struct.pack("<IIIhhhh", 0, 0, 0, 0, 0, width, height)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    streams = chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))
    movie = b"".join(chunk(b"00dc", content) for content in frames)
    index = b"".join(
        b"00dc" + struct.pack("<III", 0x10, offset, length) for offset, length in entries
    )
    return chunk(
        b"RIFF",
        b"AVI "
        + chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + streams)
        + chunk(b"LIST", b"movi" + movie)
        + chunk(b"idx1", index),
    )


def two_fields(picture: np.ndarray) -> bytes:
    """A frame of two JPEG pictures, one of each second line, the lower one first."""
    fields = b""
    for number in (1, 0):
        content = jpeg(picture[number::2])
        marker = b"\xff\xe0" + struct.pack(">H", 16) + b"AVI1" + bytes([number + 1]) + bytes(9)
        fields += content[:2] + marker + content[2:]
    return fields


def write_interlaced(path: Path, pictures: np.ndarray) -> None:
    """An AVI of frames of two fields."""
    path.write_bytes(avi([two_fields(picture) for picture in pictures], pictures.shape[1:]))


def write_avi_with(change: Callable[[list[tuple[int, int]]], list[tuple[int, int]]]) -> Write:
    """An AVI whose index is changed."""

    def write(path: Path, pictures: np.ndarray) -> None:
        frames = [jpeg(picture) for picture in pictures]
        path.write_bytes(avi(frames, pictures.shape[1:], change(index_entries(frames))))

    return write


def write_jpegs(path: Path, pictures: np.ndarray) -> None:
    """JPEG pictures one after another, without a container."""
    path.write_bytes(b"".join(jpeg(picture) for picture in pictures))


DAMAGED_INDEX: dict[str, Write] = {
    "offsets beyond the file": write_avi_with(lambda all: [(10**9, size) for _, size in all]),
    "entries out of order": write_avi_with(lambda all: [all[2], *all[:2], *all[3:]]),
    "two entries exchanged": write_avi_with(lambda all: [all[0], all[2], all[1], *all[3:]]),
    "an entry missing": write_avi_with(lambda all: [*all[:2], *all[3:]]),
    "half an index": write_avi_with(lambda all: all[: len(all) // 2]),
    "zeros": write_avi_with(lambda all: [(0, 0) for _ in all]),
    "no entries": write_avi_with(lambda all: []),
}
"""AVI files that are whole but for their index."""


# other codecs


def write_codec(
    codec: str, pixels: str, container: str, options: dict[str, str] | None = None
) -> Write:
    """A video of another codec, as FFmpeg writes it."""

    def write(path: Path, pictures: np.ndarray) -> None:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=Fraction(50))
            stream.height, stream.width = pictures.shape[1:]
            stream.pix_fmt = pixels
            stream.codec_context.options = options or {}
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(grays_as_rgb(picture), format="rgb24")
                file.mux(stream.encode(frame.reformat(format=pixels)))
            file.mux(stream.encode(None))

    return write


OTHER_CODECS: dict[str, Write] = {
    "MP4 H.264 with B-frames": write_codec(
        "libx264", "yuv420p", "mp4", {"crf": "4", "bf": "3", "preset": "ultrafast"}
    ),
    "MP4 MPEG-4": write_codec("mpeg4", "yuv420p", "mp4", {"qmin": "1", "qmax": "2"}),
    "AVI MPEG-4": write_codec("mpeg4", "yuv420p", "avi", {"qmin": "1", "qmax": "2"}),
    "AVI of raw pictures": write_codec("rawvideo", "bgr24", "avi"),
    "AVI of PNG pictures": write_codec("png", "gray", "avi"),
    "MKV FFV1 of 10 bits": write_codec("ffv1", "yuv420p10le", "matroska"),
    "MOV Animation": write_codec("qtrle", "rgb24", "mov"),
    "WebM VP8": write_codec("libvpx", "yuv420p", "webm", {"crf": "4", "b": "8M"}),
}


# DICOM


def dataset_of(pictures: np.ndarray, **fields: object) -> Dataset:
    """A multi-frame ultrasound data set without pixels. A field that is None is left out."""
    frames, height, width = pictures.shape[:3]
    dataset = Dataset()
    values: dict[str, object] = {
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=["echolm"]),
        "NumberOfFrames": frames,
        "FrameTime": "20",
        "Rows": height,
        "Columns": width,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    for name, value in (values | fields).items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def save_dicom(
    path: Path, dataset: Dataset, syntax: str, pixels: bytes, encapsulated: bool = False
) -> None:
    """Write a data set with its pixels."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = encapsulated
    dataset.save_as(path, enforce_file_format=True)


COLOUR: dict[str, object] = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}


def write_raw(syntax: str = ExplicitVRLittleEndian, **fields: object) -> Write:
    """Uncompressed gray pictures."""

    def write(path: Path, pictures: np.ndarray) -> None:
        content = pictures.tobytes()
        if syntax == ExplicitVRBigEndian:  # 8-bit pixels in words, as this syntax has them
            content = np.frombuffer(content, np.uint16).byteswap().tobytes()
        dataset = dataset_of(pictures, **fields)
        save_dicom(path, dataset, syntax, content)
        if syntax == ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"
            dataset.save_as(path, enforce_file_format=True)

    return write


def write_raw_rgb(planar: int) -> Write:
    """Uncompressed R, G, B: by pixel (0) or by plane (1)."""

    def write(path: Path, pictures: np.ndarray) -> None:
        content = grays_as_rgb(pictures)
        if planar:
            content = np.moveaxis(content, -1, 1)
        fields = COLOUR | {"PhotometricInterpretation": "RGB", "PlanarConfiguration": planar}
        save_dicom(path, dataset_of(pictures, **fields), ExplicitVRLittleEndian, content.tobytes())

    return write


def write_raw_ybr(path: Path, pictures: np.ndarray) -> None:
    """Uncompressed Y, Cb, Cr of each pixel."""
    content = np.full((*pictures.shape, 3), 99, np.uint8)
    content[..., 0] = pictures
    fields = COLOUR | {"PhotometricInterpretation": "YBR_FULL"}
    save_dicom(path, dataset_of(pictures, **fields), ExplicitVRLittleEndian, content.tobytes())


def write_raw_422(path: Path, pictures: np.ndarray) -> None:
    """Uncompressed Y, Y, Cb, Cr of each two pixels."""
    frames, height, width = pictures.shape
    content = np.full((frames, height, width // 2, 4), 99, np.uint8)
    content[..., 0] = pictures[..., 0::2]
    content[..., 1] = pictures[..., 1::2]
    fields = COLOUR | {"PhotometricInterpretation": "YBR_FULL_422"}
    save_dicom(path, dataset_of(pictures, **fields), ExplicitVRLittleEndian, content.tobytes())


def write_rle(colour: bool) -> Write:
    """RLE, gray or R, G, B."""

    def write(path: Path, pictures: np.ndarray) -> None:
        dataset = dataset_of(pictures)
        content = pictures
        if colour:
            dataset = dataset_of(pictures, **COLOUR | {"PhotometricInterpretation": "RGB"})
            content = grays_as_rgb(pictures)
        frames = []
        for picture in content:
            frames.append(
                RLELosslessEncoder.encode(
                    picture.tobytes(),
                    rows=picture.shape[0],
                    columns=picture.shape[1],
                    samples_per_pixel=dataset.SamplesPerPixel,
                    bits_allocated=8,
                    bits_stored=8,
                    number_of_frames=1,
                    pixel_representation=0,
                    photometric_interpretation=dataset.PhotometricInterpretation,
                    planar_configuration=0,
                )
            )
        save_dicom(path, dataset, RLELossless, encapsulate(frames, has_bot=False), True)

    return write


def write_jpeg_dicom(kind: str, table: bool = True, fragments: int = 1) -> Write:
    """JPEG pictures, whose header says ``kind``, in fragments, with or without a table of them."""

    def write(path: Path, pictures: np.ndarray) -> None:
        frames, fields = [], dict(COLOUR)
        for picture in pictures:
            colours = picture if kind == "MONOCHROME2" else grays_as_rgb(picture)
            frames.append(jpeg(colours, subsampling=1))
        if kind == "MONOCHROME2":
            fields = {}
        content = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
        dataset = dataset_of(pictures, **fields | {"PhotometricInterpretation": kind})
        save_dicom(path, dataset, JPEGBaseline8Bit, content, True)

    return write


def write_wrong_table(path: Path, pictures: np.ndarray) -> None:
    """JPEG pictures with a table that has the first frame alone."""
    content = itemize_fragment(struct.pack("<I", 0))
    for picture in pictures:
        content += b"".join(itemize_fragment(part) for part in fragment_frame(jpeg(picture)))
    save_dicom(path, dataset_of(pictures), JPEGBaseline8Bit, content, True)


def without_preamble(write: Write, rest_from: bytes = b"") -> Write:
    """The same file without its preamble, or from its first element of a group on."""

    def write_shorter(path: Path, pictures: np.ndarray) -> None:
        write(path, pictures)
        content = path.read_bytes()[132:]
        path.write_bytes(content[content.index(rest_from) :])

    return write_shorter


GROUP_8 = b"\x08\x00\x16\x00"
"""The tag SOPClassUID, the first of these data sets."""
DICOM: dict[str, Write] = {
    "raw": write_raw(),
    "raw, implicit": write_raw(ImplicitVRLittleEndian),
    "raw, big endian": write_raw(ExplicitVRBigEndian),
    "raw, no number of frames": write_raw(NumberOfFrames=None),
    "raw RGB by pixel": write_raw_rgb(0),
    "raw RGB by plane": write_raw_rgb(1),
    "raw YBR_FULL": write_raw_ybr,
    "raw YBR_FULL_422": write_raw_422,
    "RLE": write_rle(colour=False),
    "RLE RGB": write_rle(colour=True),
    "JPEG": write_jpeg_dicom("MONOCHROME2"),
    "JPEG YBR_FULL_422": write_jpeg_dicom("YBR_FULL_422"),
    "JPEG labelled RGB": write_jpeg_dicom("RGB"),
    "JPEG without a table": write_jpeg_dicom("MONOCHROME2", table=False),
    "JPEG in fragments": write_jpeg_dicom("MONOCHROME2", fragments=3),
    "JPEG in fragments without a table": write_jpeg_dicom("YBR_FULL", table=False, fragments=2),
    "JPEG with a wrong table": write_wrong_table,
    "no preamble": without_preamble(write_raw()),
    "no preamble, JPEG": without_preamble(write_jpeg_dicom("RGB")),
    "no preamble, no meta information": without_preamble(write_raw(), GROUP_8),
    "no preamble, no meta information, implicit": without_preamble(
        write_raw(ImplicitVRLittleEndian), GROUP_8
    ),
    "no preamble, no meta information, JPEG": without_preamble(
        write_jpeg_dicom("YBR_FULL"), GROUP_8
    ),
}
MJPEG: dict[str, Write] = {
    "MJPEG AVI": lambda path, pictures: write_mjpeg(path, pictures, 50),
    "MJPEG AVI of two fields a frame": write_interlaced,
    "JPEG pictures one after another": write_jpegs,
    "MJPEG in MOV": write_codec("mjpeg", "yuvj420p", "mov", {"qmin": "2", "qmax": "2"}),
    **{f"MJPEG AVI, index: {name}": write for name, write in DAMAGED_INDEX.items()},
}
FORMS: dict[str, Write] = MJPEG | OTHER_CODECS | DICOM
