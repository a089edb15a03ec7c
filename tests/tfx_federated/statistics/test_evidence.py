import pytest

from tfx_federated.statistics import evidence
from tfx_federated.statistics.evidence import Evidence


def test_rows_are_enough_from_the_minimum_on():
    codes = evidence.of_rows([0, 49, 50], evidence.Minimums())
    assert codes.tolist() == [Evidence.TOO_FEW_ROWS, Evidence.TOO_FEW_ROWS, Evidence.ENOUGH]


def test_the_first_of_too_few_rows_positives_and_negatives_is_named():
    codes = evidence.of_classes([40, 9, 60, 9, 10], [9, 60, 9, 9, 40], evidence.Minimums(rows=50))
    assert codes.tolist() == [
        Evidence.TOO_FEW_ROWS,
        Evidence.TOO_FEW_POSITIVES,
        Evidence.TOO_FEW_NEGATIVES,
        Evidence.TOO_FEW_ROWS,
        Evidence.ENOUGH,
    ]


def test_of_too_few_of_both_classes_the_positives_are_named():
    minimums = evidence.Minimums(rows=1, positives=5, negatives=5)
    assert evidence.of_classes([1], [1], minimums).tolist() == [Evidence.TOO_FEW_POSITIVES]


@pytest.mark.parametrize("minimum", [{"rows": 0}, {"positives": 1}, {"negatives": 1}])
def test_a_minimum_below_what_a_variance_needs_is_refused(minimum):
    with pytest.raises(ValueError, match="it must be at least"):
        evidence.Minimums(**minimum)


def test_counts_of_other_silos_are_refused():
    with pytest.raises(ValueError, match="must be of one length"):
        evidence.of_classes([1, 2], [1], evidence.Minimums())
