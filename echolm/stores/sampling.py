"""Which frames make a clip, and which frames a clip store holds.

A sampling rule chooses the frames of an item by its values and its number of frames. ``echolm data
prepare --clips`` names one. ``uniform-N`` and ``every-P`` have a number in their name. To add a
rule, register a class here or in a plugin (``ECHOLM_PLUGINS``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from echolm.errors import EchoLMError
from echolm.registry import Component, Registry
from echolm.text import suggest

LARGEST_NUMBER = 1000
"""The largest number in the name of a clip rule."""


class SamplingRule(Component):
    """How the frames of an item are chosen."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The values of an item that the rule reads."""

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return the original numbers of the clip's frames (T,), in the order of the clip.

        A number repeats where the clip is longer than what it is taken from.

        Args:
            values: the item's values. All that the rule ``needs`` are there.
            frame_count: how many frames the item has, at least 1.
        """
        raise TypeError(f"clip rule {self.name} does not implement choose")


class NumberedRule(SamplingRule):
    """A rule whose name ends in a number from 1 to 1000, such as ``uniform-24``."""

    pattern: ClassVar[str]
    """How the name is written, with a capital in the place of the number: ``uniform-N``."""

    @property
    def number(self) -> int:
        """Return the number in the name."""
        return int(self.name.rpartition("-")[2])


class UniformN(NumberedRule):
    """N frames, evenly spaced from the first to the last. One frame is the first."""

    pattern: ClassVar[str] = "uniform-N"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return N frame numbers from the first to the last."""
        return ed_to_es(0, frame_count - 1, self.number)


class EveryP(NumberedRule):
    """Every P-th frame, from the first."""

    pattern: ClassVar[str] = "every-P"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return the frame numbers 0, P, 2 P and so on."""
        return np.arange(0, frame_count, self.number, dtype=np.int64)


NUMBERED: dict[str, type[NumberedRule]] = {"uniform": UniformN, "every": EveryP}
"""The rules with a number, by what stands before it."""
NUMBERED_NAMES = tuple(rule.pattern for rule in NUMBERED.values())
"""How they are written: ``uniform-N``, ``every-P``."""


class SamplingRules(Registry[SamplingRule]):
    """The clip rules: those with a name of their own, and those with a number in it."""

    def get(self, name: str) -> type[SamplingRule]:
        """Return the class of a rule.

        Raises:
            EchoLMError: an unknown name, or a number out of range.
        """
        self.load()
        kind, _, digits = name.rpartition("-")
        is_numbered = kind in NUMBERED and re.fullmatch("[0-9]+", digits)
        if name in self._classes or not is_numbered:
            return self._named(name)
        if not re.fullmatch("[1-9][0-9]{0,3}", digits) or int(digits) > LARGEST_NUMBER:
            pattern = NUMBERED[kind].pattern
            raise EchoLMError(
                f"clip rule {name!r}: valid: {pattern} with {pattern[-1]} from 1 to "
                f"{LARGEST_NUMBER}, such as {kind}-24"
            )
        return NUMBERED[kind]

    def _named(self, name: str) -> type[SamplingRule]:
        if name in self._classes:
            return self._classes[name]
        numbered = " and ".join(NUMBERED_NAMES)
        raise EchoLMError(
            f"unknown {self.kind} {name!r}; {suggest(name, self._classes)}, and {numbered} with a "
            f"number from 1 to {LARGEST_NUMBER}"
        )


SAMPLING_RULES = SamplingRules("clip rule", [])


def ed_to_es(ed: int, es: int, frames: int) -> np.ndarray:
    """Return ``frames`` original frame numbers, uniformly from ED to ES.

    They are ``ed + trunc(i * (es - ed) / (frames - 1))``. The first is ``ed`` and the last ``es``,
    exactly. Numbers descend when ES comes before ED and repeat when the gap is shorter than the
    clip (NLDL 2026 §3.1: ED is the first frame, ES the last). One frame is ED alone.
    """
    if frames < 1:
        raise EchoLMError(f"a clip of {frames} frames; valid: 1 or more")
    if frames == 1:
        return np.array([ed], np.int64)
    steps = np.arange(frames, dtype=np.int64) * abs(es - ed) // (frames - 1)
    if es < ed:
        return ed - steps
    return ed + steps


@SAMPLING_RULES.register
class EdToEs16(SamplingRule):
    """The 16 frames of the landmark clip, from ED to ES (NLDL 2026 §3.1)."""

    name: Literal["ed-to-es-16"] = "ed-to-es-16"
    needs: ClassVar[tuple[str, ...]] = ("ed", "es")

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return 16 frame numbers from ``ed`` to ``es``."""
        return ed_to_es(values["ed"], values["es"], 16)


@SAMPLING_RULES.register
class All(SamplingRule):
    """Every frame."""

    name: Literal["all"] = "all"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return all frame numbers."""
        return np.arange(frame_count, dtype=np.int64)


@SAMPLING_RULES.register
class Uniform16(SamplingRule):
    """16 frames, evenly spaced from the first to the last."""

    name: Literal["uniform-16"] = "uniform-16"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return 16 frame numbers from the first to the last."""
        return ed_to_es(0, frame_count - 1, 16)


@SAMPLING_RULES.register
class First32(SamplingRule):
    """The first 32 frames. Each frame of a shorter item is repeated, as evenly as 32 allows."""

    name: Literal["first-32"] = "first-32"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return 32 frame numbers that start with 0 and never descend."""
        return np.arange(32, dtype=np.int64) * min(frame_count, 32) // 32


@SAMPLING_RULES.register
class Image(SamplingRule):
    """One frame: a still image, or the first frame of a video."""

    name: Literal["image"] = "image"

    def choose(self, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
        """Return the number of the first frame."""
        return np.zeros(1, np.int64)


def missing_values(rule: SamplingRule, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that ``rule`` needs and an item does not have."""
    return [name for name in rule.needs if values.get(name) is None]


def frames_to_store(rule: SamplingRule, values: Mapping[str, Any], frame_count: int) -> np.ndarray:
    """Return the original frame numbers, ascending and unique, that a store holds of one item.

    Raises:
        EchoLMError: the item lacks a value that the rule needs.
    """
    missing = missing_values(rule, values)
    if missing:
        raise EchoLMError(why_left_out(rule, missing))
    return np.unique(rule.choose(values, frame_count))


def why_left_out(rule: SamplingRule, missing: list[str]) -> str:
    """Say why an item without the values ``missing`` has no frames by ``rule``, and what to do."""
    return (
        f"has no value {', '.join(missing)}, which clip rule {rule.name} needs; "
        "a clip rule that needs none takes it: --clips all"
    )


def why_unsuitable(info: Mapping[str, Any], sampling: str) -> str:
    """Say why a store does not hold the frames of clip rule ``sampling`` for each of its items.

    A store holds them when it was prepared by that rule. A store of whole videos (``all``) holds
    them too, when each of its items has the values that the rule needs.

    Args:
        info: what the store says of itself (``clips.peek``). A store that was made before
            ``values`` was written is of EchoNet-Dynamic, whose items have all values.
        sampling: a clip rule, or '' when any frames will do.

    Returns:
        The reason, or '' when the store holds the frames.
    """
    prepared_by = info.get("clips")
    if not sampling or prepared_by in (None, sampling):
        return ""
    if prepared_by != All().name:
        return f"it was prepared by clip rule {prepared_by}"
    counts = info.get("values")
    if counts is None:
        return ""
    for name in SAMPLING_RULES.get(sampling).needs:
        lacking = info["items"] - counts.get(name, 0)
        if lacking:
            return f"items without {name}: {lacking} of {info['items']}"
    return ""
