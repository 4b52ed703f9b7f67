"""What a check found, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a check says.

    Attributes:
        severity: ``error`` (jobs will be refused or fail), ``warning`` (they run, with a risk or a
            cost) or ``ok``.
        topic: the profile's field or the site's parameter.
        text: what was found.
        remedy: what to do. '' when nothing is needed.
    """

    severity: str
    topic: str
    text: str
    remedy: str = ""

    def words(self) -> str:
        """Say what was found, and what to do."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


def error(topic: str, text: str, remedy: str) -> Finding:
    """Make a finding for jobs that will be refused or fail."""
    return Finding("error", topic, text, remedy)


def warning(topic: str, text: str, remedy: str) -> Finding:
    """Make a finding for jobs that run, with a risk or a cost."""
    return Finding("warning", topic, text, remedy)


def ok(topic: str, text: str) -> Finding:
    """Make a finding that all is as it should be."""
    return Finding("ok", topic, text)
