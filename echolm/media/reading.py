"""How the files of a dataset are read, where there is a choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from echolm.errors import EchoLMError


class Skipped(EchoLMError):
    """A file that is left out because the dataset's choices say so. It is no fault of the file."""


@dataclass(frozen=True)
class Reading:
    """What is done with still images, colour and codecs. Stores record it.

    Attributes:
        stills: ``keep`` a file of one frame, or ``skip`` it.
        colour: read a file whose pictures have colour as ``gray`` (luma by ITU-R BT.601),
            ``refuse`` it (an error), or ``skip`` it.
        any_codec: read videos of every codec that FFmpeg decodes, not of MJPEG alone.
    """

    stills: Literal["keep", "skip"] = "keep"
    colour: Literal["refuse", "gray", "skip"] = "gray"
    any_codec: bool = False

    def choices(self) -> dict[str, Any]:
        """Return what is chosen in another way than by default, by field."""
        default = vars(Reading())
        return {name: value for name, value in vars(self).items() if value != default[name]}


AS_GRAY = Reading()
"""How videos are read where nobody says: their luma, whatever their colours."""
