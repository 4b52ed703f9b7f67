"""Where the encoder of a run looks: attention rollout on the frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from echolm.config import FinetuneConfig
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.predict.picture import GAP, LINE, write
from echolm.predict.rollout import rollout
from echolm.predict.run_network import LoadedRun
from echolm.randomness import fold, generators, sample_keys

SHOWN = 8
"""Frames of a picture at most, spread over the clip."""
SIDE = 192
"""Side of a drawn frame in pixels."""
OPACITY = 0.5
"""Of the map over a frame."""
COLOURS = "jet"
"""matplotlib's colours of the map."""


@dataclass(frozen=True, eq=False)
class AttendedClip:
    """The frames that a run saw, and how much one token takes of each place."""

    frames: np.ndarray
    """T x size x size uint8."""
    numbers: tuple[int, ...]
    """Numbers of the frames in the file, T of them."""
    maps: np.ndarray
    """T' x H' x W' in [0, 1], 0 where least and 1 where most is taken from, as the rule has it."""
    token: tuple[int, int, int] | None
    """Time, row and column of the token. None: it is the class token."""
    own_share: float
    """What the token takes from its own place, of all that it takes. 0 for the class token."""
    blocks: int
    """Blocks that attention was followed through."""
    network: str
    """The encoder, and the fusion that it was trained with."""

    @property
    def others(self) -> np.ndarray:
        """The same of all places but the token's own, which is 0.

        A token takes most from itself where blocks change little, and the rest is hardly seen.
        """
        if self.token is None:
            return self.maps
        elsewhere = self.maps.copy()
        elsewhere[self.token] = self.maps.min()
        return _scaled(elsewhere)

    @property
    def token_text(self) -> str:
        """The token in words."""
        if self.token is None:
            return "the class token"
        time, row, column = self.token
        place = f"the token of time {time}, row {row}, column {column}"
        return f"{place} ({100 * self.own_share:.0f} % from itself)"


def check_attention(run: LoadedRun) -> None:
    """Refuse a run whose encoder has no maps of attention.

    Raises:
        EchoLMError: it has none.
    """
    if run.config.encoder.attention_maps:
        return
    valid = [name for name in ENCODERS.names() if ENCODERS.get(name).attention_maps]
    raise EchoLMError(
        f"run {run.name}: encoder {run.config.encoder.name} has no maps of attention; "
        f"valid: a run of encoder {', '.join(valid)}"
    )


def attended(run: LoadedRun, path: Path, numbers: Sequence[int]) -> AttendedClip:
    """Compute the rollout of a clip.

    Shown is what the class token takes. An encoder without one has a token drawn by the file's
    name: the same one each time, for every run with as many tokens.

    Args:
        run: whose encoder is looked at.
        path: a video, a DICOM file or a picture.
        numbers: of the frames of the clip in the file, T of them.

    Raises:
        EchoLMError: the encoder has no maps of attention, or the file cannot be read.
    """
    check_attention(run)
    encoder = run.config.encoder
    assert encoder.token_grid is not None
    cine = run.read(path, numbers)
    rows = cine.rows(numbers)
    state = run.state(cine, rows[None])
    rolled = rollout(run.member.model.encoder.attentions(state.tensors["clip"]))[0]

    places = int(np.prod(encoder.token_grid))
    if len(rolled) > places:
        token, own_share = None, 0.0
        row = rolled[0, len(rolled) - places :].cpu().numpy()
    else:
        drawn = _draw_token(path, places)
        time, height, width = np.unravel_index(drawn, encoder.token_grid)
        token, own_share = (int(time), int(height), int(width)), float(rolled[drawn, drawn])
        row = rolled[drawn].cpu().numpy()
    return AttendedClip(
        frames=cine.pixels[torch.from_numpy(rows).to(cine.pixels.device)]
        .round()
        .byte()
        .cpu()
        .numpy(),
        numbers=tuple(numbers),
        maps=_scaled(row).reshape(encoder.token_grid),
        token=token,
        own_share=own_share,
        blocks=encoder.blocks,
        network=_describe(run),
    )


def _draw_token(path: Path, places: int) -> int:
    """Draw one of ``places`` tokens by the file's name."""
    (generator,) = generators(fold(sample_keys([path.stem]), "attention"))
    return int(generator.integers(places))


def _scaled(values: np.ndarray) -> np.ndarray:
    """Bring numbers to [0, 1]. Equal ones are 0."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


def _describe(run: LoadedRun) -> str:
    """Name encoder and fusion."""
    config = run.config
    if isinstance(config, FinetuneConfig) and config.head.takes == "vector":
        return f"{config.encoder.name}, fusion {config.fusion.name}"
    return config.encoder.name


def draw_attention(clip: AttendedClip, note: str = "") -> Image.Image:
    """Draw frames, and below each the same frame with the map over it.

    A frame's map is that of its time. It is enlarged bilinearly. The frames that the token is of
    show its place. Below stands the map of the other places alone, unless it is the class token's.

    Args:
        clip: what is drawn.
        note: what must be known wherever the picture goes. It is written at the bottom.
    """
    count = len(clip.numbers)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
    rows = {"rollout": clip.maps}
    if clip.token is not None:
        rows["of other places"] = clip.others
    step = SIDE + GAP
    size = (len(places) * step - GAP, (1 + len(rows)) * step - GAP)
    picture = Image.new("RGB", size, "black")
    for column, place in enumerate(places.tolist()):
        time = place * len(clip.maps) // count
        frame = Image.fromarray(clip.frames[place]).convert("RGB")
        frame = frame.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.paste(frame, (column * step, 0))
        write(picture, (column * step + 6, 4), str(clip.numbers[place]))
        for row, maps in enumerate(rows.values(), 1):
            heat = Image.blend(frame, _coloured(maps[time]), OPACITY)
            if clip.token is not None and clip.token[0] == time:
                _mark(heat, clip.token[1:], maps.shape[1:])
            picture.paste(heat, (column * step, row * step))
    for row, name in enumerate(rows, 1):
        write(picture, (6, row * step + 4), name)
    write(picture, (6, SIDE - 26), clip.network)
    write(picture, (6, picture.height - 26), note)
    return picture


def _coloured(values: np.ndarray) -> Image.Image:
    """Enlarge H' x W' values in [0, 1] to a drawn frame, in colours."""
    from matplotlib import colormaps

    tensor = torch.from_numpy(values.astype(np.float32))[None, None]
    large = functional.interpolate(tensor, (SIDE, SIDE), mode="bilinear", align_corners=False)
    colours = colormaps[COLOURS](large[0, 0].numpy(), bytes=True)
    return Image.fromarray(np.ascontiguousarray(colours[..., :3]))


def _mark(picture: Image.Image, place: tuple[int, int], shape: tuple[int, int]) -> None:
    """Frame the place (row, column) of a grid."""
    top, left = place[0] * SIDE / shape[0], place[1] * SIDE / shape[1]
    bottom, right = top + SIDE / shape[0] - 1, left + SIDE / shape[1] - 1
    ImageDraw.Draw(picture).rectangle([left, top, right, bottom], outline=LINE, width=2)
