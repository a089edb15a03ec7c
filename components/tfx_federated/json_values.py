"""Values for strict JSON."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Returns JSON values in which a number that is not finite is None."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
