"""Names the silos whose rows do not match those of the others, before a training starts.

What is looked for is a mistake of a few: degrees Fahrenheit among Celsius, cents among dollars, labels of 1 and 2 among
0 and 1, a column that one company never fills. That silos differ is normal. A silo is named only for what is explained
neither by chance, with so few rows, nor by the differences among the other silos:

- A count (rows with a label that others do not have) is compared with the share of such rows in all silos: by chance,
  the silo would have so many with a probability below `_CHANCE` (Chernoff's bound of the binomial distribution).
- A mean is compared with the median silo. It lies at least `_SHIFT` spreads of rows inside a silo away, or a factor
  `_FACTOR`, and `_DEVIATIONS` standard deviations, of variance (1.4826 MAD)^2 + spread^2 / rows. The median and the
  median absolute deviation (MAD) over silos do not move with the few (Rousseeuw and Croux, JASA 88, 1993).

With one or two silos nobody can tell which one is wrong: then only values that are not finite are looked for.

A message says silo, feature and a count or ratio, and never a value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from tff_runtime import job as job_lib
from tfx_federated.federated_trainer import silo_statistics

ERROR, WARNING, NOTE = "error", "warning", "note"

# Beyond this, rows of the silo and rows of others hardly overlap: Cohen's "large" difference is 0.8 spreads.
_SHIFT = 2.0
# An order of magnitude: cents and dollars differ by 100, hours and minutes by 60.
_FACTOR = 10.0
# Of a normal distribution, 6 of 10 million lie beyond: no false alarm in a thousand silos of a hundred columns.
_DEVIATIONS = 5.0
_CHANCE = 1e-6
# The mean of fewer rows is far from normal where a column has outliers.
_LEAST_ROWS = 5
_LEAST_SILOS = 3
# What more silos than this share have in common is no mistake of a few. One silo may always be wrong.
_FEW = 0.2
_MAD_TO_DEVIATION = 1.4826
_NAMED = 10

_TEXTS = {
    "not_finite": "is not finite in {:.0f} rows",
    "constant": "is the same in all {:.0f} rows; in the other silos it varies",
    "shifted": "lies {:.1f} times the spread of rows away from the other silos; is it in another unit?",
    "scaled": "is {:.3g} times as large as in the other silos; is it in another unit?",
    "not_binary": "is neither 0 nor 1 in {:.0f} rows; in the other silos it always is",
    "unknown_class": "has in {:.0f} rows a class that no other silo has",
    "one_class": "is the same in all {:.0f} rows",
}


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """One way in which one silo does not match the others.

    Attributes:
        severity: `error` (all would learn something wrong), `warning` or `note`.
        silo: The silo.
        feature: Name of the feature or label; `name[1]` is an element of a wider feature.
        kind: A key of `_TEXTS`.
        measure: The count of rows, or the ratio, that the kind's text names.
    """

    severity: str
    silo: str
    feature: str
    kind: str
    measure: float

    def __str__(self) -> str:
        return f"silo {self.silo!r}: {self.feature!r} {_TEXTS[self.kind].format(self.measure)}"


class SiloAgreementError(ValueError):
    """Silos do not match the others in a way that would spoil the training for all."""


def examine(directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> list[Disagreement]:
    """Compares the rows of the silos that a job trains on.

    Each array is read once, in pieces; memory does not depend on the number of rows.

    Args:
        directory: The job, with its data.
        job: The job.

    Returns:
        The disagreements, errors first.
    """
    silos = job.silos[job.train_split]
    found: list[Disagreement] = []
    for name, stored in [*sorted(job.features.items()), (job.label_key, job.label)]:
        is_label = name == job.label_key
        path = directory.array(job.train_split, stored)
        statistics = silo_statistics.SiloStatistics(path, silos, has_classes=is_label)
        names = _column_names(name, statistics.not_binary.shape[1])
        for judge in (*_JUDGES, *(_LABEL_JUDGES if is_label else _FEATURE_JUDGES)):
            if judge is _not_finite or len(silos) >= _LEAST_SILOS:
                found += [
                    Disagreement(severity, silos[silo].silo, names[column], kind, measure)
                    for severity, silo, column, kind, measure in judge(statistics)
                ]
    return _ordered(_with_errors_where_no_silo_is_left(found, len(silos)))


def report(disagreements: Sequence[Disagreement]) -> None:
    """Logs the disagreements and refuses errors.

    Raises:
        SiloAgreementError: Some are errors; the message names the silos.
    """
    for severity, log in ((WARNING, logging.warning), (NOTE, logging.info)):
        if chosen := [disagreement for disagreement in disagreements if disagreement.severity == severity]:
            log("Silos that do not match the others: %s", _listed(chosen))
    if errors := [disagreement for disagreement in disagreements if disagreement.severity == ERROR]:
        raise SiloAgreementError(
            f"{_listed(errors)}. Correct these rows where they come from, or leave the silos out of the examples"
        )


def _listed(disagreements: Sequence[Disagreement]) -> str:
    silos = {disagreement.silo for disagreement in disagreements}
    rest = f"; and so on, {len(silos)} silos in all" if len(disagreements) > _NAMED else ""
    return "; ".join(map(str, disagreements[:_NAMED])) + rest


def _ordered(disagreements: Sequence[Disagreement]) -> list[Disagreement]:
    return sorted(disagreements, key=lambda disagreement: (ERROR, WARNING, NOTE).index(disagreement.severity))


def _with_errors_where_no_silo_is_left(found: Sequence[Disagreement], silos: int) -> list[Disagreement]:
    """A silo with a value that is not finite is left out of a round; where all have one, nothing can be trained."""
    broken = {disagreement.silo for disagreement in found if disagreement.kind == "not_finite"}
    if len(broken) < silos:
        return list(found)
    return [dataclasses.replace(item, severity=ERROR) if item.kind == "not_finite" else item for item in found]


def _column_names(name: str, columns: int) -> list[str]:
    return [name] if columns == 1 else [f"{name}[{column}]" for column in range(columns)]


# What a judge yields: severity, number of the silo, number of the column, kind and measure.
_Judgement = tuple[str, int, int, str, float]


def _not_finite(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    count = statistics.rows - statistics.values.count
    return _judgements(WARNING, "not_finite", count > 0, count)


def _constant_feature(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    """The probability that n rows are equal is the sum of p_i^n, at most the root of (sum of p_i^2)^(n - 1).

    That sum, the probability that two rows are equal, is the mean over the other silos, or the least that so few rows
    allow (three of them, the upper limit of the 95 % interval where none was seen).
    """
    count = statistics.values.count
    further = np.maximum(count - 1, 0)
    several = further > 0
    equal = np.where(several, np.maximum(statistics.repeated - 1, 0) / np.maximum(further, 1), 0.0)
    in_others = (equal.sum(axis=0) - equal) / np.maximum(several.sum(axis=0) - several, 1)
    least = 3 / (further.sum(axis=0) - further + 3)
    log_chance = further / 2 * np.log(np.maximum(in_others, least))
    found = _constant(statistics) & (log_chance < np.log(_CHANCE))
    return _judgements(WARNING, "constant", _of_a_few(found), count)


def _constant_label(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    found = _constant(statistics)
    return _judgements(NOTE, "one_class", found & ~found.all(axis=0), statistics.values.count)


def _shifted_or_scaled(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    # A share of ones differs among silos as it will.
    comparable = (statistics.not_binary > 0).mean(axis=0) > 0.5
    factor, deviations, _ = _distance(statistics.logarithms)
    scaled = _of_a_few(comparable & (np.abs(factor) > np.log(_FACTOR)) & (deviations > _DEVIATIONS))
    yield from _judgements(WARNING, "scaled", scaled, np.exp(factor))
    distance, deviations, spread = _distance(statistics.values)
    spreads = np.divide(np.abs(distance), spread, out=np.zeros_like(spread), where=spread > 0)
    shifted = _of_a_few(comparable & (spreads > _SHIFT) & (deviations > _DEVIATIONS))
    yield from _judgements(WARNING, "shifted", shifted & ~scaled, spreads)


def _other_than_binary_feature(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    return _judgements(WARNING, "not_binary", _not_binary(statistics), statistics.not_binary)


def _other_than_binary_label(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    return _judgements(ERROR, "not_binary", _not_binary(statistics), statistics.not_binary)


def _unknown_class(statistics: silo_statistics.SiloStatistics) -> Iterator[_Judgement]:
    """Silos with a class of their own, where labels are classes and not a quantity."""
    classes = statistics.classes
    if classes is None or classes[:, -1].any() or _not_binary(statistics).any():
        return
    of_one_silo = ((classes > 0).sum(axis=0) == 1) & (classes > 0)
    count = np.where(of_one_silo, classes, 0).max(axis=1, keepdims=True)
    yield from _judgements(WARNING, "unknown_class", _of_a_few(_beyond_chance(count, statistics.rows)), count)


_JUDGES = (_not_finite, _shifted_or_scaled)
_FEATURE_JUDGES = (_constant_feature, _other_than_binary_feature)
_LABEL_JUDGES = (_constant_label, _other_than_binary_label, _unknown_class)


def _judgements(severity: str, kind: str, found: np.ndarray, measure: np.ndarray) -> Iterator[_Judgement]:
    for silo, column in np.argwhere(found):
        yield severity, int(silo), int(column), kind, float(measure[silo, column])


def _constant(statistics: silo_statistics.SiloStatistics) -> np.ndarray:
    count = statistics.values.count
    return (statistics.repeated == count) & (count >= _LEAST_ROWS)


def _not_binary(statistics: silo_statistics.SiloStatistics) -> np.ndarray:
    """Returns which silos have other values than 0 and 1, where most have none and chance does not explain it.

    Most rows of those others must lie in silos that have both: silos of one class each may be 0 and 1 among many.
    """
    count, some = statistics.values.count, statistics.not_binary > 0
    both = ~some & (statistics.repeated < count)
    are_binary = (some.mean(axis=0) < 0.5) & ((count * both).sum(axis=0) > 0.5 * (count * ~some).sum(axis=0))
    return some & are_binary & _beyond_chance(statistics.not_binary, count)


def _beyond_chance(count: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns where a count is too large for the share that it has in all silos together."""
    rows = np.maximum(rows, 1)
    overall = np.broadcast_to(count.sum(axis=0) / rows.sum(axis=0), count.shape)
    share = np.maximum(count / rows, overall)
    return rows * _relative_entropy(share, overall) > -np.log(_CHANCE)


def _relative_entropy(share: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Returns share log(share / expected) + (1 - share) log((1 - share) / (1 - expected)), 0 log 0 being 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(share > 0, share * np.log(share / expected), 0.0)
        zeros = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - expected)), 0.0)
    return ones + zeros


def _distance(moments: silo_statistics.Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns how far each silo's mean is from the median silo's: the distance, in deviations, and the spread of rows.

    All are 0 where a silo has too few rows to be judged, or a column too few such silos.
    """
    judged = moments.count >= _LEAST_ROWS
    judged &= judged.sum(axis=0) >= _LEAST_SILOS
    means = np.ma.array(moments.mean, mask=~judged)
    deviation = np.ma.array(moments.deviation(), mask=~judged)
    distance = means - np.ma.median(means, axis=0)
    between = _MAD_TO_DEVIATION * np.ma.median(abs(distance), axis=0)
    typical = np.ma.median(deviation, axis=0)
    # The larger of both: a silo whose own rows differ much, or a column that is constant by chance in a small silo.
    spread = np.ma.where(typical > 0, np.ma.maximum(typical, deviation), 0.0)
    uncertainty = np.ma.sqrt(between**2 + spread**2 / np.maximum(moments.count, 1))
    distance, uncertainty = distance.filled(0.0), uncertainty.filled(0.0)
    in_deviations = np.divide(np.abs(distance), uncertainty, out=np.full_like(distance, np.inf), where=uncertainty > 0)
    return distance, in_deviations, spread.filled(0.0)


def _of_a_few(found: np.ndarray) -> np.ndarray:
    return found & (found.sum(axis=0) <= max(1, _FEW * len(found)))
