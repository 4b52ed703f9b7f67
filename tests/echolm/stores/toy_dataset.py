"""A dataset of any files, whose items the test writes down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image

from echolm.datasets import Dataset
from echolm.datasets.scan import Scan, SourceItem, files_identity
from echolm.media.reading import Reading
from echolm.stores.items import LANDMARKS

LISTED = "items.json"


class Toy(Dataset):
    """``items.json`` lists the items: sample, split, files, and what else an item has."""

    name: Literal["toy"] = "toy"
    fold: int = 0
    stills: Literal["keep", "skip"] = "keep"
    colour: Literal["refuse", "gray", "skip"] = "refuse"
    any_codec: bool = False

    def scan(self, root: Path) -> Scan:
        """List the items of the file."""
        items = []
        sizes = {}
        for listed in json.loads((root / LISTED).read_text()):
            files = tuple(root / name for name in listed.pop("files"))
            sizes |= {file.name: file.stat().st_size for file in files}
            values = listed.pop("values", {})
            for name, value in values.items():
                if name.startswith(LANDMARKS) and value is not None:
                    values[name] = np.array(value, np.float32)
            item = SourceItem(
                patient=listed["sample"],
                path=files[0],
                files=files if len(files) > 1 else (),
                reading=Reading(self.stills, self.colour, self.any_codec),
                values=values,
                **{"split": "train", "frame_count": None} | listed,
            )
            items.append(item)
        identity = files_identity(root, [LISTED], sizes, self.choices())
        return Scan(self.name, root, items, [], [], identity)

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Write pictures of noise."""
        folder.mkdir()
        listed = []
        for number in range(items):
            write_png(folder / f"{number}.png", np.full((8, 8), seed + self.fold, np.uint8))
            listed.append({"sample": str(number), "files": [f"{number}.png"]})
        (folder / LISTED).write_text(json.dumps(listed))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write H x W or H x W x 3 uint8."""
    Image.fromarray(picture).save(path)


def write_video(path: Path, frames: np.ndarray, codec: str = "mjpeg") -> None:
    """Write T x H x W or T x H x W x 3 uint8, H and W even."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    kind = "gray" if frames.ndim == 3 else "rgb24"
    with av.open(str(path), "w", format="avi" if codec == "mjpeg" else "mp4") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format=kind)
            container.mux(stream.encode(picture.reformat(format=pixels)))
        container.mux(stream.encode(None))
