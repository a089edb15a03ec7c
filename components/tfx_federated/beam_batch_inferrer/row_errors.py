"""Rows that cannot be scored, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

UNPARSABLE = "unparsable"
MALFORMED_FEATURE = "malformed_feature"
MISSING_FEATURE = "missing_feature"
MODEL_ERROR = "model_error"
NAN_PREDICTION = "nan_prediction"
REASONS = (UNPARSABLE, MALFORMED_FEATURE, MISSING_FEATURE, MODEL_ERROR, NAN_PREDICTION)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong with a row.

    Attributes:
        reason: One of `REASONS`.
        detail: The same for people, without a value of the row.
    """

    reason: str
    detail: str


class FaultyRowsError(ValueError):
    """Some rows of a batch are at fault, and which ones is known.

    Attributes:
        faults: By position in the batch.
    """

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        super().__init__(f"{len(faults)} rows are at fault")
        self.faults = dict(faults)


class BatchError(ValueError):
    """The model refuses a batch for some of its rows, and does not say which.

    Attributes:
        fault: What it says.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault
