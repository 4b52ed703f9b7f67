"""Which files of a folder, and of the folders in it, are clips. Each other file has a reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.media.dicom import is_dicom, why_no_clip
from echolm.media.image import is_image
from echolm.media.read import FORMATS, format_of
from echolm.text import counted

VIDEOS = (
    ".avi",
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".wmv",
    ".mpg",
    ".mpeg",
    ".ogv",
    ".flv",
    ".mjpeg",
    ".gif",
)
"""Extensions of videos. What such a file is, its content tells when it is read."""
DICOM = (".dcm", ".dicom")
"""Extensions of DICOM files. A file of another name or none is DICOM when its content says so."""
STILLS = (".png", ".jpg", ".jpeg")
"""Extensions of pictures that can be read."""
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class SkippedFile:
    """A file or folder that is not predicted."""

    file: str
    """Its path in the folder that was searched."""
    reason: str


@dataclass(frozen=True)
class FolderFiles:
    """What was found in a folder and the folders in it."""

    clips: list[Path]
    skipped: list[SkippedFile]


def find_clips(folder: Path, out: Path | None = None, stills: bool = False) -> FolderFiles:
    """Search a folder and the folders in it for clips. Both lists are in the order of names.

    Args:
        folder: where to search.
        out: a folder that is not searched, where pictures of contours are.
        stills: whether PNG and JPEG pictures are clips, of one frame.

    Raises:
        EchoLMError: the folder cannot be read, or holds no clip.
    """
    search = _Search(folder, out.resolve() if out else None, stills)
    try:
        search.look_into(folder)
    except OSError as error:
        raise EchoLMError(f"{folder}: cannot be read: {error.strerror or error}") from error
    search.clips.sort()
    search.skipped.sort(key=lambda skipped: skipped.file)
    if not search.clips:
        raise EchoLMError(f"{folder}: {_why_empty(search.skipped)}")
    return FolderFiles(search.clips, search.skipped)


def _why_empty(skipped: list[SkippedFile]) -> str:
    """Say that there is no clip, and what there is."""
    text = "no clip in it, nor in the folders in it; valid: videos (AVI, MP4, ...) and DICOM files"
    if skipped:
        first = skipped[0]
        text += f"; {counted(len(skipped), 'file')} skipped, first {first.file}: {first.reason}"
    return text


class _Search:
    """Walks through folders."""

    def __init__(self, root: Path, out: Path | None, stills: bool) -> None:
        self.clips: list[Path] = []
        self.skipped: list[SkippedFile] = []
        self._root = root
        self._out = out
        self._stills = stills

    def look_into(self, folder: Path) -> None:
        """Sort what is in a folder into clips and what is skipped."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir():
                self._look_into_inner(path, entry.is_symlink())
                continue
            reason = _why_skipped(path, self._stills)
            if reason:
                self._skip(path, reason)
            else:
                self.clips.append(path)

    def _look_into_inner(self, folder: Path, is_link: bool) -> None:
        """Search a folder in a folder."""
        if folder.name.startswith("."):
            self._skip(folder, "a hidden folder")
        elif is_link:
            self._skip(folder, "a link to a folder; links to folders are not followed")
        elif folder.resolve() == self._out:
            self._skip(folder, "the folder of the predictions (--out)")
        else:
            try:
                self.look_into(folder)
            except OSError as error:
                self._skip(folder, f"cannot be read: {error.strerror or error}")

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.append(SkippedFile(path.relative_to(self._root).as_posix(), reason))


def _why_skipped(path: Path, stills: bool) -> str:
    """Say why a file is no clip, "" for one that is to be predicted."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return "a hidden file"
    if not path.is_file():
        return "not a file, or a link to nothing"
    if suffix in VIDEOS or (stills and suffix in STILLS):
        return ""
    try:
        if is_dicom(path):
            return why_no_clip(path)
        # The last format takes what no other recognises by its content, such as NIfTI.
        if format_of(path) is not FORMATS[-1] and not is_image(path):
            return ""
    except OSError as error:
        if suffix not in DICOM:  # a clip that cannot be read says so in its row
            return f"cannot be read: {error.strerror or error}"
    if suffix in DICOM:
        return ""
    if suffix in PICTURES:
        return "a still picture, in which ED and ES cannot be told apart"
    return f"neither a video by its name ({suffix or 'no extension'}) nor DICOM by its content"
