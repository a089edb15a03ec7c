"""Every detector on one ledger: what was found, how suspect each silo is, and what could not be told.

Nobody is left out of anything here: findings go to a report, and what follows from them is for people, or for a rule
that somebody wrote into their pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfx_federated.contribution_evaluator.detection import (
    dominance,
    duplicates,
    fabricated_noise,
    no_update,
    observations,
    opposition,
    readings,
    repeated_update,
    replayed_global,
    too_few_rows,
    vectors,
)
from tfx_federated.statistics import discoveries

# Each is a test against honest silos of as many rows.
TESTS = (
    no_update,
    repeated_update,
    replayed_global,
    fabricated_noise,
    opposition,
    duplicates,
)
# Each gives a score with a limit of its own.
FACTS = ((too_few_rows, too_few_rows.LARGEST_CHANCE_SHARE), (dominance, dominance.LARGEST_INFLUENCE))


@dataclass(frozen=True)
class Detection:
    """What the detectors found.

    Attributes:
        findings: The clearest first.
        p_value: How often an honest silo looks at least so odd to the oddest of the tests, by silo; NaN where no test
            could be made. The smallest p-value, corrected for the number of tests that were made of the silo (Sidak).
        scores: By detector, then silo: 1 - p-value of a test, or the score of a fact; NaN where unknown.
        impossible: Detectors that could not work, and why.
        false_discovery_rate: Share of the silos found by tests that are honest, on average at most.
    """

    findings: Sequence[readings.Finding]
    p_value: Mapping[str, float]
    scores: Mapping[str, Mapping[str, float]]
    impossible: Sequence[readings.Impossible]
    false_discovery_rate: float

    @property
    def suspicion(self) -> Mapping[str, float]:
        """Combined score of each silo, in [0, 1]: 1 - p_value."""
        return {silo: 1 - chance for silo, chance in self.p_value.items()}


def detect(ledger: observations.Ledger, false_discovery_rate: float = 0.05) -> Detection:
    """Looks at every silo of a training.

    A silo is found by the tests if its combined p-value passes the procedure of Benjamini and Hochberg over all silos.
    Of a silo that is found, each test whose corrected p-value is at most the rate is a finding.

    Args:
        ledger: Of one training.
        false_discovery_rate: In (0, 1).

    Raises:
        ValueError: The ledger has no silo or no round.
    """
    if not len(ledger.silos) or not len(ledger.rounds):
        raise ValueError("the ledger has no silos or no rounds; give the ledger of a training with at least one round")
    observed = observations.observe(ledger)
    results = [test.read(observed) for test in TESTS]
    tests = [result for result in results if not isinstance(result, readings.Impossible)]
    impossible = [result for result in results if isinstance(result, readings.Impossible)]
    corrected = _corrected(tests, len(observed.silos))
    combined = _least(corrected)
    is_suspect = discoveries.discover(combined, false_discovery_rate).found
    found = [
        _finding(observed, reading, silo, 1 - chances[silo], float(reading.p_value[silo]))
        for reading, chances in zip(tests, corrected, strict=True)
        for silo in np.flatnonzero(is_suspect & (chances <= false_discovery_rate)).tolist()
    ]
    scores = {reading.detector: _by_silo(observed, 1 - reading.p_value) for reading in tests}
    for fact, limit in FACTS:
        result = fact.read(observed, is_suspect)
        if isinstance(result, readings.Impossible):
            impossible.append(result)
            continue
        reading, values = result
        scores[reading.detector] = _by_silo(observed, values)
        suspects = np.flatnonzero(values > limit).tolist()
        found += [_finding(observed, reading, silo, values[silo], None) for silo in suspects]
    found.sort(key=lambda finding: (finding.p_value is None, finding.p_value or 0.0, -finding.score))
    return Detection(found, _by_silo(observed, combined), scores, impossible, false_discovery_rate)


def _corrected(tests: Sequence[readings.Reading], silos: int) -> vectors.Array:
    """Returns the chance that the oddest of as many tests is as odd, [tests, silos].

    Source: Sidak, Journal of the American Statistical Association 62 (1967), 626-633. Unlike Bonferroni's bound it
    keeps the order of all silos.
    """
    chances = np.array([reading.p_value for reading in tests]).reshape(len(tests), silos)
    # 1 - (1 - p)^m, exact for very small p.
    with np.errstate(divide="ignore"):
        return -np.expm1(np.isfinite(chances).sum(axis=0) * np.log1p(-chances))


def _least(chances: vectors.Array) -> vectors.Array:
    known = np.isfinite(chances)
    return np.where(known.any(axis=0), np.where(known, chances, np.inf).min(axis=0, initial=np.inf), np.nan)


def _by_silo(observed: observations.Observations, values: vectors.Array) -> Mapping[str, float]:
    return {silo: float(value) for silo, value in zip(observed.silos, values, strict=True)}


def _finding(
    observed: observations.Observations, reading: readings.Reading, silo: int, score: float, p_value: float | None
) -> readings.Finding:
    return readings.Finding(
        silo=observed.silos[silo],
        detector=reading.detector,
        kind=reading.kind,
        score=float(score),
        p_value=p_value,
        reason=reading.reason(silo),
        evidence={name: float(values[silo]) for name, values in reading.evidence.items()},
        series={name: [float(value) for value in values[:, silo]] for name, values in reading.series.items()},
        peer=reading.peers.get(silo),
    )
