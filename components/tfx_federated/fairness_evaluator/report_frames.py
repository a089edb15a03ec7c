"""The parts of the fairness report's content as DataFrames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_SILO_COLUMNS = {
    "name": "str",
    "rows": "int64",
    "positives": "Int64",
    "value": "float64",
    "lower": "float64",
    "upper": "float64",
    "evidence": "str",
    "difference_to_overall": "float64",
    "mean_label": "float64",
    "mean_prediction": "float64",
}
_GAIN_COLUMNS = {"gain": "", "lower": "_lower", "upper": "_upper", "verdict": "_verdict"}


def silos(content: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per silo, in the order of the content.

    Args:
        content: The content of a report, as `report_schema.json` describes it.

    Returns:
        The columns `name`, `rows`, `positives`, `value`, `lower`, `upper`, `evidence`, `difference_to_overall`,
        `mean_label`, `mean_prediction`; for every compared model a column with its metric, named like the model; and
        for every model with gains `<model>_gain`, `<model>_gain_lower`, `<model>_gain_upper`, `<model>_gain_verdict`.
        What is undefined is NaN.
    """
    entries = content["silos"]
    columns = {name: pd.Series([silo[name] for silo in entries], dtype=kind) for name, kind in _SILO_COLUMNS.items()}
    for model in compared_models(content):
        columns[model] = pd.Series([silo["models"].get(model) for silo in entries], dtype="float64")
    for model in models_with_gains(content):
        gains = [silo["gains"].get(model, {}) for silo in entries]
        for key, suffix in _GAIN_COLUMNS.items():
            kind = "object" if key == "verdict" else "float64"
            columns[f"{model}_gain{suffix}"] = pd.Series([gain.get(key) for gain in gains], dtype=kind)
    return pd.DataFrame(columns)


def rules(content: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per judged rule: `rule`, `text`, `value`, `bound`, `verdict`, `passed`, `reason`."""
    names = ["rule", "text", "value", "bound", "verdict", "passed", "reason"]
    return pd.DataFrame(content["rules"], columns=names).astype({"value": "float64", "bound": "float64"})


def comparisons(content: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per compared model, indexed by its name.

    Returns:
        The counts `silos`, `helped`, `hurt`, `significantly_helped`, `significantly_hurt`; `false_discovery_rate`;
        `mean_gain` with `mean_gain_corrected`, `mean_gain_lower`, `mean_gain_upper`; `standard_deviation`; and
        `significantly_hurt_silos`, a list of names.
    """
    names = ["silos", "helped", "hurt", "significantly_helped", "significantly_hurt", "false_discovery_rate"]
    rows = [
        {
            "model": comparison["model"],
            **{name: comparison[name] for name in names},
            "mean_gain": comparison["mean_gain"]["observed"],
            **{f"mean_gain_{name}": comparison["mean_gain"][name] for name in ("corrected", "lower", "upper")},
            "standard_deviation": comparison["standard_deviation"],
            "significantly_hurt_silos": comparison["significantly_hurt_silos"],
        }
        for comparison in content["comparisons"]
    ]
    gain_names = ["mean_gain", "mean_gain_corrected", "mean_gain_lower", "mean_gain_upper"]
    columns = ["model", *names, *gain_names, "standard_deviation", "significantly_hurt_silos"]
    return pd.DataFrame(rows, columns=columns).set_index("model")


def across_silos(content: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per statistic over silos, by its name: `observed`, `corrected`, `lower`, `upper`."""
    statistics = content["across_silos"]["statistics"]
    columns = ["observed", "corrected", "lower", "upper"]
    return pd.DataFrame.from_dict(statistics, orient="index", columns=columns, dtype="float64")


def compared_models(content: Mapping[str, Any]) -> list[str]:
    """Returns the names of the models whose metric stands beside the judged model's."""
    return list(dict.fromkeys(name for silo in content["silos"] for name in silo["models"]))


def models_with_gains(content: Mapping[str, Any]) -> list[str]:
    """Returns the names of the models against which silos have gains."""
    return list(dict.fromkeys(name for silo in content["silos"] for name in silo["gains"]))


def rounded(values: npt.ArrayLike) -> Any:
    """Returns lists of numbers with six significant digits, undefined ones as None: they make up most of a page."""
    array = np.asarray(values, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = 10.0 ** (5 - np.floor(np.log10(np.abs(array))))
        shortened = np.where(np.isfinite(places), np.round(array * places) / places, array)
    numbers = shortened.astype(object)
    numbers[~np.isfinite(shortened)] = None
    return numbers.tolist()
