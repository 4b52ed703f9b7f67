"""DICOM cine loops and stills to 8-bit gray. pydicom is imported when a DICOM file is met.

The gray value of a pixel is the one that is stored: the value of MONOCHROME2, Y of YBR pictures, Y
by BT.601 of RGB pictures. Pixels of 16 bits are refused. To make 8 bits of them takes a window, and
the picture depends on which one somebody chose. Ultrasound scanners store 8 bits.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.dicom_cine import JPEG_8_BIT, JPEG_LOSSLESS, DicomCine, decoding, one_line
from echolm.media.jpeg import JPEG
from echolm.media.reading import AS_GRAY, Reading, Skipped
from echolm.media.video import Video, check_wanted, stack
from echolm.text import counted

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

GRAY = ("MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations that can be turned into gray. The last two are of JPEG 2000."""
PALETTE = "PALETTE COLOR"
HALF_CHROMA = "YBR_FULL_422"
"""The one that has 2 bytes a pixel where it is not compressed: Y Y Cb Cr for two pixels."""
JPEG_2000 = b"\xff\x4f\xff\x51"
RLE = "1.2.840.10008.1.2.5"
PREAMBLE = 128
"""Bytes before ``DICM``."""
GROUP_2, GROUP_8 = b"\x02\x00", b"\x08\x00"
FIRST_KINDS = (b"UL", b"OB", b"UI", b"CS", b"DA", b"LO", b"SH", b"TM")
"""Kinds of values that the first element of a file may have."""
HOLD_PICTURES = ("Image", "Volume")
"""Words of which one is in the name of every kind of DICOM file that holds pictures."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: a preamble of 128 bytes and ``DICM``, or without these.

    Old archives and some scanners leave the preamble out. Such a file begins with its first
    element.
    """
    with open(path, "rb") as file:
        head = file.read(PREAMBLE + 4)
    return head[PREAMBLE:] == b"DICM" or _is_first_element(head)


def _is_first_element(head: bytes) -> bool:
    """Return whether bytes begin with an element of group 0002 or 0008, little endian.

    It is written with its kind of value (explicit) or without (implicit). Without it, the next
    element must be of the same group.
    """
    group, kind = head[:2], head[4:6]
    if group in (GROUP_2, GROUP_8) and kind in FIRST_KINDS:
        return True
    following = 8 + int.from_bytes(head[4:8], "little")
    return group == GROUP_8 and head[following : following + 2] == GROUP_8


def why_no_clip(path: Path) -> str:
    """Say why a DICOM file is of a kind without pictures, "" for one that may hold some.

    The SOP class tells: an index (DICOMDIR), a report, a waveform, a presentation state.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings(action="ignore"):
            return _kind_without_pictures(dcmread(path, stop_before_pixels=True, force=True))
    except Exception:  # damaged files raise all kinds, and say so when their frames are read
        return ""


def _kind_without_pictures(dataset: Dataset) -> str:
    """Say of which kind without pictures a file is, "" for a kind that has some or is not known."""
    sop_class = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID")
    name = sop_class.name if sop_class else ""
    is_known = name and name != sop_class
    if not is_known or any(word in name for word in HOLD_PICTURES):
        return ""
    return f"a DICOM file without pictures ({name})"


def read_dicom(
    path: Path, frames: Sequence[int] | None = None, reading: Reading = AS_GRAY
) -> Video:
    """Read a DICOM cine loop or still, the frames in the order of ``frames``.

    Of JPEG pictures, what they say of their colours counts more than the header. Only the wanted
    frames are decoded, and the chroma of three to know whether the file has colour.

    Args:
        path: the file.
        frames: numbers of the frames, counted from 0. None: all.
        reading: what is done with a file of one frame, and with pictures in colour.

    Raises:
        Skipped: the file is left out by choice (``reading``).
        EchoLMError: no pixels, not 8 bits, another photometric interpretation, colour that it may
            not have, pixels that cannot be decoded, another number of frames than the header says,
            or a missing frame.
    """
    # pydicom remarks on fields that nobody asked for
    with warnings.catch_warnings(action="ignore"):
        cine = _open(path)
        if cine.count == 1 and reading.stills == "skip":
            raise Skipped(f"{path}: a still image, skipped: stills=skip")
        cine.check_colour(reading)
        numbers = list(range(cine.count))
        if frames is not None:
            numbers = [int(number) for number in frames]
        check_wanted(path, numbers, cine.count)
        decoded = {}
        for number in sorted(set(numbers)):
            decoded[number] = cine.decode(number)
        pixels = stack(path, decoded, numbers)
        return Video(frames=pixels, fps=_rate(cine.dataset), numbers=np.array(numbers, np.int64))


def count_dicom(path: Path) -> int:
    """Count the frames of a DICOM file without decoding them.

    The header's number is taken where it has one. Whether the pixels hold as many shows when they
    are read.

    Raises:
        EchoLMError: not a readable DICOM file, or one that holds no pixels.
    """
    with warnings.catch_warnings(action="ignore"):
        with suppress(Exception):  # whatever is wrong is told below
            from pydicom import dcmread

            tags = ["NumberOfFrames"]
            header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
            count = int(str(header.NumberOfFrames))
            if count > 0:
                return count
        return _open(path).count


def _open(path: Path) -> DicomCine:
    try:
        import pydicom
    except ImportError as error:
        raise EchoLMError(
            f"{path}: reading DICOM needs pydicom; type: pip install pydicom"
        ) from error
    try:
        dataset = pydicom.dcmread(path, force=True)  # a preamble is not needed
    except OSError:
        raise
    except Exception as error:  # damaged files raise all kinds
        raise EchoLMError(f"{path}: not a readable DICOM file: {one_line(error)}") from error
    pixels = _field(path, dataset, "PixelData")
    if not isinstance(pixels, bytes) or not pixels:
        kind = ""
        with suppress(Exception):  # each kind of damaged value raises its own
            kind = _kind_without_pictures(dataset)
        raise EchoLMError(
            f"{path}: is {kind}" if kind else f"{path}: holds no pixels, or is truncated"
        )
    _check_kind(path, dataset)
    syntax = _syntax(path, dataset)
    encoded = []
    if syntax.is_compressed:
        _check_decoder(path, syntax)
        with decoding(path):
            encoded = _encoded_frames(dataset, syntax)
        count = len(encoded)
    else:
        _check_samples(path, dataset)
        count = len(pixels) // _frame_bytes(dataset)
    _check_count(path, dataset, count)
    dataset.NumberOfFrames = count  # where it is missing, pydicom would take it for 1
    return DicomCine(path, dataset, syntax, count, encoded)


def _field(path: Path, dataset: Dataset, name: str) -> Any:
    """Return a field's value, None where there is none. Values are first looked into here."""
    try:
        return dataset.get(name)
    except Exception as error:  # each kind of value raises its own
        raise EchoLMError(f"{path}: its field {name} is damaged: {one_line(error)}") from error


def _check_kind(path: Path, dataset: Dataset) -> None:
    """Raise EchoLMError unless the pixels are of a kind and of a size that can be read."""
    kind = _field(path, dataset, "PhotometricInterpretation")
    bits = _field(path, dataset, "BitsAllocated")
    if kind not in GRAY or bits != 8:
        remedy = ""
        if kind == PALETTE:
            remedy = ". Convert it: gdcmconv --apply-lut IN OUT"
        elif bits == 16:
            remedy = ". Choose a window, and convert it to 8 bits with that"
        raise EchoLMError(
            f"{path}: is {kind} with {bits} bits; valid: 8 bits and one of "
            f"{', '.join(GRAY)}{remedy}"
        )
    if _field(path, dataset, "PixelRepresentation") == 1:
        raise EchoLMError(f"{path}: its pixels are signed numbers; valid: 0 to 255")
    for name in ("Rows", "Columns"):
        value = _field(path, dataset, name)
        if not isinstance(value, int) or value < 1:
            raise EchoLMError(f"{path}: its field {name} is {value!r}; valid: whole numbers from 1")


def _check_samples(path: Path, dataset: Dataset) -> None:
    """Raise EchoLMError unless uncompressed pixels have as many values as their kind needs."""
    kind = dataset.PhotometricInterpretation
    needed = 1 if kind == "MONOCHROME2" else 3
    samples = _field(path, dataset, "SamplesPerPixel")
    if samples != needed:
        raise EchoLMError(
            f"{path}: is {kind} with SamplesPerPixel {samples}; valid: {needed} of {kind}"
        )


def _syntax(path: Path, dataset: Dataset) -> UID:
    """Return the transfer syntax, and note it in a dataset that does not say it.

    Raises:
        EchoLMError: it is none, or cannot be known.
    """
    from pydicom import uid

    syntax = _field(path, dataset.file_meta, "TransferSyntaxUID")
    if syntax is not None:
        if not isinstance(syntax, uid.UID) or not syntax.is_transfer_syntax:
            raise EchoLMError(f"{path}: its transfer syntax {str(syntax)!r} is none that is known")
        return syntax
    is_implicit, is_little_endian = dataset.original_encoding
    if dataset["PixelData"].is_undefined_length:
        if JPEG not in dataset.PixelData[:PREAMBLE]:
            raise EchoLMError(f"{path}: does not say how its pixels are compressed")
        syntax = uid.JPEGBaseline8Bit
    elif is_implicit:
        syntax = uid.ImplicitVRLittleEndian
    elif is_little_endian:
        syntax = uid.ExplicitVRLittleEndian
    else:
        syntax = uid.ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _check_decoder(path: Path, syntax: UID) -> None:
    """Raise EchoLMError unless compressed pixels of this kind can be decoded here."""
    from pydicom.pixels import get_decoder

    if syntax in (*JPEG_8_BIT, *JPEG_LOSSLESS):
        return
    with suppress(NotImplementedError):
        if get_decoder(syntax).is_available:
            return
    raise EchoLMError(
        f"{path}: its pixels are compressed as {syntax.name}; valid: JPEG, JPEG 2000, RLE, or not "
        "compressed. Convert it: gdcmconv --raw IN OUT"
    )


def _frame_bytes(dataset: Dataset) -> int:
    """Return the bytes of an uncompressed frame."""
    values = dataset.SamplesPerPixel
    if dataset.PhotometricInterpretation == HALF_CHROMA:
        values = 2
    return int(dataset.Rows * dataset.Columns * values)


def _encoded_frames(dataset: Dataset, syntax: UID) -> list[bytes]:
    """Return the compressed frames, by the file's table of offsets if it has one.

    Without a table, and by one that contradicts the header, a fragment that begins a picture begins
    a frame. By the standard an RLE frame is one fragment (PS3.5 A.4.2).
    """
    from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets

    pixels = io.BytesIO(dataset.PixelData)
    extended = None
    if "ExtendedOffsetTable" in dataset:
        extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    by_table: list[bytes] = []
    if parse_basic_offsets(pixels) or extended:
        by_table = list(generate_frames(dataset.PixelData, extended_offsets=extended))
        if len(by_table) == dataset.get("NumberOfFrames"):
            return by_table

    fragments_of: list[list[bytes]] = []
    for fragment in generate_fragments(pixels):
        begins = syntax == RLE or fragment.startswith((JPEG[:2], JPEG_2000))
        if begins or not fragments_of:
            fragments_of.append([])
        fragments_of[-1].append(fragment)
    by_fragments = [b"".join(fragments) for fragments in fragments_of]
    if by_table and len(by_fragments) != dataset.get("NumberOfFrames"):
        return by_table
    return by_fragments


def _check_count(path: Path, dataset: Dataset, count: int) -> None:
    """Raise EchoLMError unless the header says the number of frames that the pixels hold.

    It need not say any.

    Args:
        path: of the file.
        dataset: whose field NumberOfFrames is looked at.
        count: frames that the pixels hold.
    """
    size = len(dataset.PixelData)
    value = _field(path, dataset, "NumberOfFrames")
    stated = count
    if value not in (None, ""):
        try:
            stated = int(str(value))
        except ValueError:
            stated = 0
    if stated < 1 and count:
        raise EchoLMError(
            f"{path}: its field NumberOfFrames is {str(value)!r}; valid: whole numbers from 1"
        )
    if dataset.PhotometricInterpretation == HALF_CHROMA and _has_whole_chroma(dataset, stated):
        raise EchoLMError(
            f"{path}: is {HALF_CHROMA}, but its pixels have 3 bytes each and not 2; "
            "correct the field PhotometricInterpretation: YBR_FULL or RGB"
        )
    if not count:
        raise EchoLMError(f"{path}: its pixels, {size} bytes, are less than one frame")
    if stated != count:
        raise EchoLMError(
            f"{path}: its field NumberOfFrames is {stated}, but its pixels, {size} bytes, are "
            f"{counted(count, 'frame')}; it is damaged or truncated, or correct the field: "
            f"dcmodify -m NumberOfFrames={count} FILE"
        )


def _has_whole_chroma(dataset: Dataset, frames: int) -> bool:
    """Return whether uncompressed pixels have exactly 3 bytes each. They are padded to even."""
    size = 3 * int(dataset.Rows * dataset.Columns) * frames
    return len(dataset.PixelData) == size + size % 2


def _rate(dataset: Dataset) -> float | None:
    """Return frames per second: from FrameTime in ms, else CineRate.

    None when neither is a number above 0.
    """
    frame_time = _positive(dataset, "FrameTime")
    if frame_time:
        return 1000.0 / frame_time
    return _positive(dataset, "CineRate")


def _positive(dataset: Dataset, name: str) -> float | None:
    """Return a field that is a finite number above 0, else None."""
    with suppress(Exception):  # each kind of damaged value raises its own
        value = float(dataset.get(name))
        if value > 0 and math.isfinite(value):
            return value
    return None
