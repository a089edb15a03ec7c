"""Results of checks, and how they are shown."""

from __future__ import annotations

import dataclasses
import enum
import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO


class Status(enum.Enum):
    """What a check found."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclasses.dataclass(frozen=True)
class Check:
    """One result.

    Attributes:
        status: Whether something has to be done.
        subject: What was looked at.
        finding: What was found.
        remedy: What to do about it; empty if it is OK.
    """

    status: Status
    subject: str
    finding: str
    remedy: str = ""


def ok(subject: str, finding: str) -> Check:
    """Returns the result of a check that found all well."""
    return Check(Status.OK, subject, finding)


def warn(subject: str, finding: str, remedy: str) -> Check:
    """Returns the result of a check that found what can be right, and what to do if it is not."""
    return Check(Status.WARN, subject, finding, remedy)


def fail(subject: str, finding: str, remedy: str) -> Check:
    """Returns the result of a check that found what cannot work, and what to do about it."""
    return Check(Status.FAIL, subject, finding, remedy)


_COLORS = {Status.OK: "\x1b[32m", Status.WARN: "\x1b[33m", Status.FAIL: "\x1b[1;31m"}
_RESET = "\x1b[0m"
_STATUS_WIDTH = 6
_MINIMUM_TEXT_WIDTH = 40


def show(title: str, checks: Sequence[Check], out: TextIO) -> None:
    """Writes a table of results, with what to do below each that is not OK.

    On a terminal it is as wide as that, and in colors unless the environment variable `NO_COLOR` is set; elsewhere each
    finding is one line.

    Args:
        title: What they are about.
        checks: The results.
        out: Where to.
    """
    terminal = out.isatty()
    colors = _COLORS if terminal and not os.environ.get("NO_COLOR") else {}
    indent = _STATUS_WIDTH + max(len(check.subject) for check in checks) + 2
    width = max(shutil.get_terminal_size().columns - indent, _MINIMUM_TEXT_WIDTH) if terminal else 0
    print(title, file=out)
    for check in checks:
        status = f"{check.status.value:<{_STATUS_WIDTH}}"
        if check.status in colors:
            status = f"{colors[check.status]}{status}{_RESET}"
        first, *others = _lines(check.finding, width)
        print(f"{status}{check.subject:<{indent - _STATUS_WIDTH}}{first}", file=out)
        if check.remedy:
            remedy, *more = _lines(check.remedy, width - 2)
            others += [f"→ {remedy}", *(f"  {line}" for line in more)]
        for line in others:
            print(f"{'':<{indent}}{line}", file=out)
    print(file=out)


def _lines(text: str, width: int) -> list[str]:
    """Returns the text as lines; a word that is too long, such as a command's path, stays whole."""
    if width <= 0:
        return [" ".join(text.split())]
    return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)
