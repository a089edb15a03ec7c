"""The silos of a contribution report as a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

_COLUMNS = {
    "name": "str",
    "rows": "Int64",
    "held_out_rows": "int64",
    "weight_share": "float64",
    "rounds": "int64",
    "first_round": "Int64",
    "last_round": "Int64",
    "mean_update_norm": "float64",
    "mean_cosine": "float64",
    "suspicion": "float64",
}
_CONTRIBUTION = {
    "value": "contribution",
    "standard_error": "contribution_standard_error",
    "lower": "contribution_lower",
    "upper": "contribution_upper",
    "share": "contribution_share",
}
_GAIN = {"gain": "", "lower": "_lower", "upper": "_upper"}


def silos(content: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per silo, in the order of the content.

    Args:
        content: The content of a report, as `report_schema.json` describes it.

    Returns:
        The columns `name`, `rows`, `held_out_rows`, `weight_share`, `rounds`, `first_round`, `last_round`,
        `mean_update_norm`, `mean_cosine`, `suspicion`, `contribution` with `_standard_error`, `_lower`, `_upper`,
        `_share` and `_rank`, `findings` and `notes` as text; for each model `<model>_value`, and where it is compared
        `<model>_gain`, `_gain_lower`, `_gain_upper` and `_gain_verdict`. What is not known is missing.
    """
    entries = content["silos"]
    columns = {name: pd.Series([silo[name] for silo in entries], dtype=kind) for name, kind in _COLUMNS.items()}
    given = [silo["contribution"] or {} for silo in entries]
    for key, name in _CONTRIBUTION.items():
        columns[name] = pd.Series([one.get(key) for one in given], dtype="float64")
    columns["contribution_rank"] = pd.Series([one.get("rank") for one in given], dtype="Int64")
    for model in dict.fromkeys(name for silo in entries for name in silo["values"]):
        columns[f"{model}_value"] = pd.Series([silo["values"].get(model) for silo in entries], dtype="float64")
    for model in (comparison["model"] for comparison in content["comparisons"]):
        gains = [silo["gains"][model] for silo in entries]
        for key, suffix in _GAIN.items():
            columns[f"{model}_gain{suffix}"] = pd.Series([gain[key] for gain in gains], dtype="float64")
        columns[f"{model}_gain_verdict"] = pd.Series([gain["verdict"] for gain in gains], dtype="str")
    for name, separator in (("findings", ", "), ("notes", "; ")):
        columns[name] = pd.Series([separator.join(silo[name]) for silo in entries], dtype="str")
    return pd.DataFrame(columns)
