import pytest

from tff_runtime.aggregation.minimum_silos import minimum_silos
from tff_runtime.settings import aggregations


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (aggregations.Mean(), 1),
        (aggregations.TrimmedMean(0.4), 1),
        (aggregations.MultiKrum(byzantine=0), 3),
        (aggregations.MultiKrum(byzantine=2), 7),
        (aggregations.MultiKrum(byzantine=2, selected=6), 8),
        (aggregations.Zeroing(aggregations.Clipping(aggregations.MultiKrum(byzantine=1))), 5),
    ],
)
def test_multi_krum_alone_needs_several_silos(setting, expected):
    assert minimum_silos(setting) == expected
