"""Made-up contents of contribution reports, with every kind of entry."""

import numpy as np

HOSTILE = "</script><script>window.ran = 1</script><b>&\"'"
VERDICTS = ("significantly helped", "significantly hurt", "no significant difference", "too few rows")


def silo(name, place, generator):
    is_known = place % 4 != 3
    value = float(generator.normal(0.01, 0.01))
    gain = float(generator.normal(0.01, 0.02))
    got = {"gain": gain, "lower": gain - 0.02, "upper": gain + 0.02, "verdict": VERDICTS[place % 3]}
    nothing = {"gain": None, "lower": None, "upper": None, "verdict": VERDICTS[3]}
    given = {"value": value, "standard_error": 0.001, "lower": value - 0.002, "upper": value + 0.002}
    return {
        "name": name,
        "rows": 10 * (place + 1),
        "held_out_rows": 5 * (place + 1),
        "rounds": 4,
        "weight_share": 0.1,
        "first_round": 1,
        "last_round": 4,
        "mean_update_norm": 0.5,
        "mean_cosine": 0.25,
        "contribution": {**given, "share": 0.1 if value > 0 else None, "rank": place + 1} if is_known else None,
        "values": {"federated": 0.7, "local": 0.6 if is_known else None},
        "gains": {"federated": got if is_known else nothing},
        "suspicion": 0.5 if is_known else None,
        "findings": [],
        "notes": ["took part in no round: nothing can be said of its contribution"] if not is_known else [],
    }


def content(silos=8, seed=0, names=None):
    generator = np.random.default_rng(seed)
    names = [f"silo {place}" for place in range(silos)] if names is None else names
    entries = [silo(name, place, generator) for place, name in enumerate(names)]
    finding = {"silo": names[0], "detector": "no_update", "kind": "free_riding", "score": 0.99, "p_value": 0.0001}
    finding |= {"reason": "It sends nothing.", "evidence": {"norm": 0.0}, "series": {"norm": [0.0, None, 0.0, 0.0]}}
    twin = {**finding, "detector": "duplicates", "kind": "duplicate", "peer": names[-1]}
    twin |= {"reason": f"Its updates are those of {names[-1]!r}."}
    entries[0]["findings"] = ["no_update", "duplicates"]
    by_round = {name: [0.01, None, 0.02, -0.001] for name in names} if silos <= 50 else None
    return {
        "schema": 1,
        "federated_run": "/runs/3",
        "split": "eval",
        "confidence": 0.95,
        "false_discovery_rate": 0.05,
        "utility": {"type": "OverallMetric", "metric": "auc"},
        "privacy": "NoPrivacy",
        "rounds": {"recorded": 4, "missing": [2], "with_updates": 3, "omitted": [4]},
        "blessed": False,
        "rules": [{"rule": "NoFindings", "passed": False, "observed": 1, "limit": 0, "reason": f"found {names[0]!r}"}],
        "contribution": {
            "method": {"type": "FederatedShapley", "permutations": 100},
            "gained": 0.2,
            "efficiency_gap": 0.001,
            "evaluations": 64,
            "rounds": [1, 2, 3, 4],
            "skipped_rounds": [],
            "groups": [],
            "share_of_largest": 0.3,
            "silos_for_half": 2,
            "gini": 0.4,
            "by_round": by_round and {"rounds": [1, 2, 3, 4], "values": by_round},
        },
        "comparisons": [
            {
                "model": "federated",
                "baseline": "local",
                "silos": len(names),
                "helped": 4,
                "hurt": 2,
                "significantly_helped": 2,
                "significantly_hurt": 1,
                "significantly_hurt_silos": names[:1],
                "mean_gain": {"observed": 0.01, "corrected": 0.01, "lower": 0.0, "upper": 0.02},
                "gini": 0.5,
                "jain": 0.4,
                "balance": {
                    "silos": 6,
                    "pearson": -0.4,
                    "pearson_lower": -0.8,
                    "pearson_upper": 0.2,
                    "spearman": -0.3,
                    "p_value": 0.4,
                },
            }
        ],
        "findings": [{**finding, "peer": None}, twin],
        "tested_silos": len(names),
        "not_computed": [{"what": "detector dominance", "reason": "needs cosines"}],
        "silos": entries,
    }


def empty():
    """Nothing could be computed."""
    values = content(3)
    for entry in values["silos"]:
        entry |= {"contribution": None, "values": {}, "gains": {}, "suspicion": None, "findings": [], "rows": None}
        entry |= dict.fromkeys(("weight_share", "first_round", "last_round", "mean_update_norm", "mean_cosine"))
    return values | {"contribution": None, "comparisons": [], "findings": [], "tested_silos": 0, "rules": []}
