"""The plan of a store: what decides its content, and how another plan is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echolm.datasets.scan import Scan
from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic
from echolm.media.mjpeg import CHANNEL_RULE, DECODER
from echolm.stores.clips import PARTIAL, SCHEMA, choice_options

PLAN = "plan.json"
UNSTATED = {"index_only": False, "dataset": {}, "size": None}
"""Fields of a plan, and what they are where it does not say so: by default, or in an older plan."""
DIFFERENCES = {
    "source": "from other files",
    "dataset": "with other choices",
    "size": "at another size",
    "clips": "by another clip rule",
    "index_only": "with another --index-only",
}
"""How a store differs from the one that was asked for, by the field of the plan in which they
differ."""


def make_plan(
    scan: Scan, choices: dict[str, Any], clips: str, index_only: bool, size: int | None
) -> dict[str, Any]:
    """Return what decides a store's content, beside the code.

    A store, or an unfinished one, must agree with it. The decoder is named after that of MJPEG
    videos, and stands for those of all formats. Choices and size are left out where there are none,
    so that stores which are older than these fields are equal.
    """
    plan: dict[str, Any] = {
        "schema": SCHEMA,
        "decoder": DECODER,
        "channel_rule": CHANNEL_RULE,
        "index_only": index_only,
        "reader": scan.reader,
    }
    if choices:
        plan["dataset"] = choices
    plan["clips"] = clips
    if size is not None:
        plan["size"] = size
    return plan | {"source": scan.identity}


def check_plan(
    out: Path, stored: dict[str, Any], plan: dict[str, Any], former: Sequence[str] = ()
) -> None:
    """Raise EchoLMError unless what is stored was made by this plan.

    Args:
        out: the store's folder.
        stored: what the store, or an unfinished one, says of itself.
        plan: what is asked for.
        former: other identities of the same files. An unfinished store of one is not continued:
            its parts hold other items.
    """
    names = [name for name in plan if name != "source"]
    # Other files are told last: other choices are other files too.
    for name in dict.fromkeys([*names, *UNSTATED, "source"]):
        value = stored.get(name, UNSTATED.get(name))
        planned = plan.get(name, UNSTATED.get(name))
        if value == planned or (name == "source" and value in former):
            continue
        difference = DIFFERENCES.get(name, f"with another {name}")
        if name != "source":
            difference += f" ({_spell(value)}; asked for: {_spell(planned)})"
        raise EchoLMError(
            f"{out}: was made {difference}; choose another folder or name, or remove it first"
        )


def _spell(value: Any) -> str:
    """Spell a field of a plan. Choices are spelled as they are typed."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(choice_options(value)[1::2])
    return str(value)


def begin(out: Path, plan: dict[str, Any]) -> None:
    """Check that what is there is of the same plan, or write the plan.

    What a killed process was writing is removed.
    """
    file = out / PARTIAL / PLAN
    if file.exists():
        check_plan(out, _read_plan(file), plan)
    else:
        for path in (out / PARTIAL).glob("part-*"):
            path.unlink()  # of no known plan
        write_atomic(file, json.dumps(plan).encode())
    for folder in (out, out / PARTIAL):
        for path in folder.glob("*.tmp"):
            path.unlink()


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except EchoLMError:
        raise EchoLMError(
            f"{file}: damaged; remove {file.parent.parent} and type it again"
        ) from None
