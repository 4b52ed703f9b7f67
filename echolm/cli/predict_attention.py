"""``echolm predict --attention``: a picture of where a run's encoder looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from echolm.predict.run_network import LoadedRun


@dataclass(frozen=True)
class AttentionRequest:
    """The picture of attention that was asked for, of one file.

    Attributes:
        out: the picture to write.
    """

    out: Path

    def check(self, run: LoadedRun) -> None:
        """Refuse what cannot be drawn or written, before anything is predicted."""
        from echolm.predict.attention import check_attention
        from echolm.predict.picture import check_picture

        check_picture(self.out, "--attention")
        check_attention(run)

    def draw(
        self, run: LoadedRun, path: Path, numbers: Sequence[int], as_json: bool
    ) -> dict[str, Any]:
        """Write the picture of a clip, and say what it shows.

        Args:
            run: whose encoder is looked at.
            path: the file.
            numbers: of the frames of the clip in the file.
            as_json: print nothing.

        Returns:
            Plain values for JSON.
        """
        from echolm.predict.attention import attended, draw_attention
        from echolm.predict.picture import save

        clip = attended(run, path, numbers)
        save(draw_attention(clip, run.trained_on.note), self.out)
        if not as_json:
            click.echo(
                f"{self.out}: what {clip.token_text} takes from the clip, by attention rollout "
                f"through {clip.blocks} blocks of {clip.network}"
            )
        return {
            "picture": str(self.out),
            "token": list(clip.token) if clip.token else None,
            "own_share": clip.own_share,
            "frames": list(clip.numbers),
        }
