"""The text of an error without the values of rows, which TensorFlow puts into its messages.

`Received a label value of 3 which is outside the valid range of [0, 2)` is such a message. Rows reach the TFF side as
numbers only, so that without numbers a message holds nothing of them.
"""

from __future__ import annotations

import re
import traceback

from tff_runtime import job as job_lib

# A number by itself: not one that is part of a name, and not that of a line of code.
_NUMBER = re.compile(r"(?<![\w.])(?<!line )[-+]?(\d[\d.]*([eE][-+]?\d+)?|inf|nan)(?!\w)")


def to_job_error(error: Exception) -> job_lib.JobError:
    """Returns what `error.json` says of an error.

    A `JobError` is returned as it is: its message is ours, or the traceback of a module that has seen no rows yet.
    """
    if isinstance(error, job_lib.JobError):
        return error
    return job_lib.JobError(type(error).__name__, without_numbers(str(error)))


def traceback_of(error: Exception) -> str:
    """Returns the traceback of an error for the log, without numbers but those of lines."""
    return without_numbers("".join(traceback.format_exception(error)))


def without_numbers(text: str) -> str:
    """Returns a text with `#` for each number that stands by itself."""
    return _NUMBER.sub("#", text)
