"""Contents of reports that look like real ones, for any number of silos."""

import numpy as np

HOSTILE = (
    "<script>window.ran = 1</script>",
    "</script><!--<script>window.ran = 1//",
    '"><img src=x onerror="window.ran = 1">',
    "<a href='https://example.org'>O'Hara & \"Söhne\"</a>\n\u2028\u202e",
)
MODELS = ("baseline", "local_models")


def content(silos=12, seed=3, models=MODELS, hostile=False):
    """Returns the content of a report: silos of 10 to 3,000 rows, of which those below 50 have too few."""
    generator = np.random.default_rng(seed)
    rows = np.exp(generator.uniform(np.log(10), np.log(3000), silos)).astype(int)
    names = [f"silo {place:05d}" for place in range(silos)]
    if hostile:
        rows[: len(HOSTILE)] = 200
        names[: len(HOSTILE)] = HOSTILE
    true = np.clip(0.74 + 0.04 * generator.standard_normal(silos), 0.4, 0.99)
    deviation = 0.45 / np.sqrt(rows)
    value = np.clip(true + deviation * generator.standard_normal(silos), 0, 1)
    enough = rows >= 50
    entries = [
        {
            "name": names[place],
            "rows": int(rows[place]),
            "positives": int(rows[place] * 0.3),
            "value": float(value[place]),
            "lower": float(max(value[place] - 1.96 * deviation[place], 0)) if enough[place] else None,
            "upper": float(min(value[place] + 1.96 * deviation[place], 1)) if enough[place] else None,
            "evidence": "enough" if enough[place] else "too_few_rows",
            "difference_to_overall": float(value[place] - 0.75),
            "mean_label": 0.3,
            "mean_prediction": float(0.3 + 0.02 * generator.standard_normal()),
            "models": {model: float(value[place] - 0.02) for model in models},
            "gains": {model: _gain(generator, deviation[place], bool(enough[place])) for model in models},
        }
        for place in range(silos)
    ]
    claimed = [entry for entry in entries if entry["evidence"] == "enough"]
    worst = min(claimed, key=lambda entry: entry["value"], default=None)
    return {
        "schema": 2,
        "model": "/pipelines/flights/Trainer/model/17",
        "metric": "auc",
        "higher_is_better": True,
        "confidence": 0.95,
        "evidence": {"minimum_rows": 50, "minimum_positives": 10, "minimum_negatives": 10},
        "privacy_minimum": None,
        "rows": int(rows.sum()) + 5,
        "rows_without_silo": 5,
        "blessed": False,
        "overall": {
            "value": 0.75,
            "lower": 0.74,
            "upper": 0.76,
            "positives": int(rows.sum() * 0.3),
            "models": dict.fromkeys(models, 0.73),
        },
        "rules": rules(names[0] if hostile else "silo 00000"),
        "across_silos": {"silos": len(claimed), "statistics": _statistics(claimed)},
        "worst_silo": worst
        and {
            **{key: worst[key] for key in ("name", "value", "lower", "upper", "rows")},
            "shrunk": {"value": 0.66, "lower": 0.61, "upper": 0.71},
        },
        "parity": _parity(names),
        "comparisons": [_comparison(entries, model) for model in models],
        "slices": [_slices(generator, names[:30])],
        "calibration": [_calibration(generator, None, "all rows"), _calibration(generator, names[0], "worst")],
        "silos": entries,
    }


def rules(name="silo 00000"):
    """Returns one rule of every verdict."""
    return [
        {
            "rule": "Overall",
            "text": "auc over all rows is at least 0.7",
            "value": 0.75,
            "bound": 0.7,
            "verdict": "passed",
            "passed": True,
            "reason": "auc over all rows is 0.75",
        },
        {
            "rule": "WorstSilo",
            "text": "auc of the worst silo is at least 0.6",
            "value": 0.5,
            "bound": 0.6,
            "verdict": "failed",
            "passed": False,
            "reason": f"auc of silo {name} is 0.5",
        },
        {
            "rule": "NonInferiority",
            "text": "silo north is not worse than the baseline by more than 0.02",
            "value": None,
            "bound": -0.02,
            "verdict": "undecided",
            "passed": True,
            "reason": "silo north has 12 rows, fewer than 50",
        },
    ]


def _gain(generator, deviation, enough):
    if not enough:
        return {"gain": 0.01, "lower": None, "upper": None, "verdict": "too few rows"}
    gain = float(0.015 + 0.6 * deviation * generator.standard_normal())
    lower, upper = gain - float(deviation), gain + float(deviation)
    verdict = (
        "significantly helped" if lower > 0 else "significantly hurt" if upper < 0 else "no significant difference"
    )
    return {"gain": gain, "lower": lower, "upper": upper, "verdict": verdict}


def _statistics(claimed):
    values = np.array([entry["value"] for entry in claimed])
    if not len(values):
        return {}
    observed = {
        "mean": values.mean(),
        "row_weighted_mean": 0.748,
        "size_bias": values.mean() - 0.748,
        "worst_silo": values.min(),
        "best_silo": values.max(),
        "variance": values.var(),
        "gini_of_error": 0.09,
    }
    estimates = {
        name: {"observed": float(value), "corrected": float(value), "lower": float(value) - 0.01, "upper": value + 0.01}
        for name, value in observed.items()
    }
    nothing = {"observed": None, "corrected": None, "lower": None, "upper": None}
    return {**estimates, "size_correlation": nothing}


def _parity(names):
    gap = {"observed": 0.21, "corrected": 0.15, "lower": 0.08, "upper": 0.22}
    lowest, highest = {"name": names[0], "value": 0.51}, {"name": names[-1], "value": 0.72}
    return [
        {
            "name": "equal opportunity",
            "rate": "true positive rate at 0.5",
            "gap": gap,
            "lowest": lowest,
            "highest": highest,
        }
    ]


def _comparison(entries, model):
    gains = [(entry["name"], entry["gains"][model]) for entry in entries if entry["evidence"] == "enough"]
    hurt = [name for name, gain in gains if gain["verdict"] == "significantly hurt"]
    return {
        "model": model,
        "silos": len(gains),
        "helped": sum(gain["gain"] > 0 for _, gain in gains),
        "hurt": sum(gain["gain"] < 0 for _, gain in gains),
        "significantly_helped": sum(gain["verdict"] == "significantly helped" for _, gain in gains),
        "significantly_hurt": len(hurt),
        "false_discovery_rate": 0.05,
        "mean_gain": {"observed": 0.015, "corrected": 0.015, "lower": 0.01, "upper": 0.02},
        "standard_deviation": 0.01,
        "significantly_hurt_silos": hurt[:50],
    }


def _slices(generator, names):
    groups, gaps = [], []
    for name in names:
        values = {origin: float(generator.uniform(0.6, 0.85)) for origin in ("EWR", "JFK", "LGA")}
        groups += [{"silo": name, "values": {"origin": origin}, "rows": 90, "value": v} for origin, v in values.items()]
        low, high = min(values, key=values.get), max(values, key=values.get)
        gap = values[high] - values[low]
        gaps.append({"silo": name, "gap": gap, "lowest": {"origin": low}, "highest": {"origin": high}})
    return {"features": ["origin"], "crossed_with_silo": True, "metric": "auc", "groups": groups, "gaps": gaps}


def _calibration(generator, silo, why):
    bins = [
        {
            "mean_prediction": centre,
            "mean_label": float(np.clip(centre + 0.04 * generator.standard_normal(), 0.02, 0.98)),
            "lower": max(centre - 0.1, 0.0),
            "upper": min(centre + 0.1, 1.0),
            "rows": 40,
        }
        for centre in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    for entry in bins:
        entry["lower"] = min(entry["lower"], entry["mean_label"])
        entry["upper"] = max(entry["upper"], entry["mean_label"])
    return {"silo": silo, "why": why, "rows": 200, "bins": bins}
