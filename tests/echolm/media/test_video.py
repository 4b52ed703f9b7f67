"""Decoding: the luma plane alone, only the wanted frames, and never around damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from media_support import avi, jpeg, two_fields

from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError
from echolm.media.mjpeg import index_packets, read_packets
from echolm.media.read import read_video
from echolm.media.video import crop_box, square_crop
from echolm.stores.prepare_clips import prepare


@pytest.fixture
def clip(tmp_path: Path, pictures: Callable[[str, int], np.ndarray]) -> Path:
    path = tmp_path / "clip ünï 'quoted'.avi"
    write_mjpeg(path, pictures("clip", 20), 47.95)
    return path


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray()[:112] for frame in container.decode(video=0)])


def test_frames_are_the_luma_plane(clip: Path) -> None:
    video = read_video(clip)
    assert video.frames.dtype == np.uint8 and video.frames.shape == (20, 112, 112)
    assert np.array_equal(video.frames, luma(clip))
    assert video.numbers.tolist() == list(range(20)) and video.fps == pytest.approx(47.95, rel=1e-3)


def test_luma_is_what_opencv_decodes_without_colour_conversion(clip: Path) -> None:
    capture = cv2.VideoCapture(str(clip))
    frame = capture.read()[1]
    capture.release()
    assert np.abs(read_video(clip, [0]).frames[0].astype(int) - frame[..., 1]).max() <= 2


@given(wanted=st.lists(st.integers(0, 19), min_size=1, max_size=8))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wanted_frames_come_in_the_order_asked_for(clip: Path, wanted: list[int]) -> None:
    video = read_video(clip, wanted)
    assert np.array_equal(video.frames, luma(clip)[wanted]) and video.numbers.tolist() == wanted


@pytest.mark.parametrize("wanted", [[20], [3, 99], [-1, 2], []])
def test_frames_that_are_not_there_are_named(clip: Path, wanted: list[int]) -> None:
    with pytest.raises(EchoLMError, match=r"clip.*(has no frame|counted from 0)"):
        read_video(clip, wanted)


@given(share=st.floats(0, 0.999))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_video_is_an_error_or_whole(clip: Path, share: float) -> None:
    whole, content = luma(clip), clip.read_bytes()
    cut = clip.with_name("cut.avi")
    cut.write_bytes(content[: int(share * len(content))])
    try:
        assert np.array_equal(read_video(cut).frames, whole)
    except EchoLMError as error:
        assert "cut.avi" in str(error)


def test_half_a_video_is_truncated(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(EchoLMError, match="truncated"):
        read_video(clip)


def test_a_damaged_frame_is_not_concealed(clip: Path) -> None:
    content = bytearray(clip.read_bytes())
    first = content.index(b"00dc", content.index(b"movi"))
    start = content.index(b"00dc", first + 4) + 8
    content[start + 700 : start + 900] = bytes(200)
    clip.write_bytes(content)
    with pytest.raises(EchoLMError, match="frame 1 is damaged"):
        read_video(clip)
    assert len(read_video(clip, [0, 2]).frames) == 2


def test_another_codec_says_how_to_convert(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 112
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(112, 112, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(EchoLMError, match="mpeg4.*valid: MJPEG.*ffmpeg -i"):
        read_video(path)


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_a_video_without_frames_says_so(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=50)
        stream.width = stream.height = 112
        stream.pix_fmt = {"mjpeg": "yuvj420p", "h264": "yuv420p"}[codec]
        container.start_encoding()
    for read in (
        read_video,
        lambda path: read_video(path, [0]),
        lambda path: index_packets(path, [0]),
    ):
        with pytest.raises(EchoLMError, match=r"clip.avi: holds no frames$"):
            read(path)


def test_frames_of_two_sizes_are_no_video(tmp_path: Path) -> None:
    whole = []
    for size in (64, 112):
        write_mjpeg(tmp_path / f"{size}.avi", np.zeros((3, size, size), np.uint8), 50)
        with av.open(str(tmp_path / f"{size}.avi")) as container:
            whole += [bytes(packet) for packet in container.demux(video=0) if packet.size]
    with av.open(str(tmp_path / "clip.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=50)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number, content in enumerate(whole):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, number, number
            container.mux(packet)
    assert read_video(tmp_path / "clip.avi", [0, 1, 2]).frames.shape == (3, 64, 64)
    with pytest.raises(EchoLMError, match="clip.avi: frame 3 is of another size than frame 0"):
        read_video(tmp_path / "clip.avi")


@given(
    changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=8)
)
@example([(188, 240)])  # of the codec's name: no such codec
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_header_is_an_error_or_the_frames(
    clip: Path, changes: list[tuple[int, int]]
) -> None:
    """The first 400 bytes say what the file is."""
    content = bytearray(clip.read_bytes())
    for place, value in changes:
        content[place] = value
    damaged = clip.with_name("damaged.avi")
    damaged.write_bytes(content)
    try:
        frames = read_video(damaged).frames
    except EchoLMError as error:
        assert "damaged.avi" in str(error)
    else:
        assert frames.dtype == np.uint8 and frames.shape[1:] == (112, 112)


@pytest.mark.parametrize("name", ["concat:clip.avi", "http:clip.avi", "-clip.avi"])
def test_a_name_is_never_an_address(clip: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    clip.rename(name)
    assert len(read_video(Path(name)).frames) == 20


@pytest.mark.parametrize("content", [b"", b"FileName,EF\n", b"RIFF\0\0\0\0AVI ", bytes(1000)])
def test_what_is_no_video_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(content)
    with pytest.raises(EchoLMError, match="clip.avi: (not a video|holds no)"):
        read_video(path)


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="nowhere.avi: cannot be read: No such file"):
        read_video(tmp_path / "nowhere.avi")
    with pytest.raises(EchoLMError, match="cannot be read: Is a directory"):
        read_video(tmp_path)


def test_square_crop_is_centred() -> None:
    frames = np.arange(2 * 4 * 9).reshape(2, 4, 9)
    assert crop_box(4, 9) == (0, 2, 4) and np.array_equal(square_crop(frames), frames[:, :, 2:6])
    assert np.array_equal(square_crop(frames.transpose(0, 2, 1)), frames.transpose(0, 2, 1)[:, 2:6])


@pytest.fixture
def frames(pictures: Callable[[str, int], np.ndarray]) -> list[bytes]:
    """Twelve frames of 112 x 112 as JPEG."""
    return [jpeg(picture) for picture in pictures("frames", 12)]


@pytest.mark.parametrize(
    ("dropped", "says"),
    [
        ([4, 5], "2 frames of zero length .4-5.: dropped by the recorder"),
        ([2, 7, 8], "3 frames of zero length .2, 7-8.: dropped by the recorder"),
        ([0], "holds 11 of the 12 frames its header announces .those of zero length"),
        ([10, 11], "holds 10 of the 12 frames its header announces .those of zero length"),
    ],
    ids=str,
)
@pytest.mark.parametrize("wanted", [None, [1], [9, 3], [11]], ids=str)
def test_frames_of_zero_length_have_one_answer(
    dropped: list[int], says: str, wanted: list[int] | None, frames: list[bytes], tmp_path: Path
) -> None:
    """Whatever is wanted: their numbers mean two things."""
    for number in dropped:
        frames[number] = b""
    (tmp_path / "x.avi").write_bytes(avi(frames, (112, 112)))
    with pytest.raises(EchoLMError, match=f"x.avi: .*{says}"):
        read_video(tmp_path / "x.avi", wanted)
    with pytest.raises(EchoLMError, match=says):
        index_packets(tmp_path / "x.avi", wanted or [0])


def test_a_lost_chunk_does_not_move_the_frames_after_it(
    frames: list[bytes], tmp_path: Path
) -> None:
    """The name of frame 3's chunk is damaged: nobody knows which frame is missing."""
    content = bytearray(avi(frames, (112, 112)))
    place = content.index(frames[3]) - 8
    content[place : place + 4] = b"9xqq"
    (tmp_path / "x.avi").write_bytes(content)
    for wanted in (None, [1], [8]):
        with pytest.raises(EchoLMError, match="holds 11 of the 12 frames"):
            read_video(tmp_path / "x.avi", wanted)


def test_a_header_may_announce_less_than_the_file_holds(
    frames: list[bytes], tmp_path: Path
) -> None:
    """As of a recording that was stopped before its header was written anew."""
    for announced in (0, 5):
        (tmp_path / "x.avi").write_bytes(avi(frames, (112, 112), announced=announced))
        assert len(read_video(tmp_path / "x.avi").frames) == 12


def test_a_frame_of_two_fields_is_no_frame_by_index(
    pictures: Callable[[str, int], np.ndarray], tmp_path: Path
) -> None:
    """Its packet, decoded alone, is one field: an error and no array of another size."""
    whole = pictures("fields", 3)
    (tmp_path / "x.avi").write_bytes(avi([two_fields(p) for p in whole], (112, 112)))
    assert read_video(tmp_path / "x.avi").frames.shape == (3, 112, 112)
    packets = index_packets(tmp_path / "x.avi", [0, 2])
    with pytest.raises(EchoLMError, match="x.avi: frame 0, decoded alone, is of another size"):
        read_packets(tmp_path / "x.avi", packets, [0, 2], (112, 112))


def test_a_video_of_two_fields_is_left_out_of_an_index_and_no_other(
    dataset: Any, pictures: Callable[[str, int], np.ndarray], tmp_path: Path
) -> None:
    """A store with frames has it. An index-only one says why not, and has the other videos."""
    root = dataset.write()
    fields = [two_fields(picture) for picture in pictures("fields", 12)]
    (root / "Videos" / "0XA1.avi").write_bytes(avi(fields, (112, 112)))
    options: dict[str, Any] = {"workers": 1, "progress": False}
    stored = prepare("echonet-dynamic", root, tmp_path / "stored", **options)
    assert len(stored.items) == 4
    reason = "0XA1: its frames cannot be read by index; store them: prepare without --index-only"
    with pytest.raises(EchoLMError, match=reason):
        prepare("echonet-dynamic", root, tmp_path / "indexed", index_only=True, **options)
    indexed = prepare(
        "echonet-dynamic",
        root,
        tmp_path / "indexed",
        index_only=True,
        skip_unreadable=True,
        **options,
    )
    assert [item.sample for item in indexed.items] == ["0XA2", "0XA3", "0XA4"]
    assert reason.partition(": ")[2] in (tmp_path / "indexed" / "problems.csv").read_text()
