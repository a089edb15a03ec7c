import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tff_runtime import job as job_lib
from tfx_federated.federated_trainer import silo_statistics

VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 3.0, 70.0, np.nan, np.inf]),
    st.floats(-1e6, 1e6, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6),
)


@st.composite
def silo_arrays(draw):
    counts = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    columns = draw(st.integers(1, 3))
    values = draw(npst.arrays(np.float32, (sum(counts), columns), elements=VALUES))
    return counts, values


def silos_of(counts):
    ends = np.cumsum(counts)
    return [
        job_lib.SiloRows(str(number), int(end) - count, count)
        for number, (end, count) in enumerate(zip(ends, counts, strict=True))
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(silo_arrays(), st.integers(1, 8))
def test_statistics_are_those_of_each_silo_wherever_the_pieces_are_cut(tmp_path, case, values_per_piece):
    counts, values = case
    np.save(tmp_path / "x.npy", values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silo_statistics, "_VALUES_PER_PIECE", values_per_piece)
        statistics = silo_statistics.SiloStatistics(tmp_path / "x.npy", silos_of(counts), has_classes=True)
    for number, silo in enumerate(silos_of(counts)):
        rows = values[silo.start : silo.start + silo.count].astype(np.float64)
        assert statistics.rows[number] == silo.count
        for column in range(values.shape[1]):
            of_column = rows[:, column]
            finite = of_column[np.isfinite(of_column)]
            check(statistics.values, number, column, finite)
            check(statistics.logarithms, number, column, np.log(np.abs(finite[finite != 0])))
            assert statistics.not_binary[number, column] == np.sum((finite != 0) & (finite != 1))
            assert statistics.repeated[number, column] == np.sum(finite == of_column[silo.count // 2])
        if values.shape[1] == 1:
            for label in range(-1, 65):
                assert statistics.classes[number, label + 1] == np.sum(rows == label)
            assert statistics.classes[number].sum() == silo.count


def check(moments, number, column, expected):
    assert moments.count[number, column] == len(expected)
    if len(expected):
        assert moments.mean[number, column] == pytest.approx(expected.mean(), rel=1e-9, abs=1e-6)
        deviation = expected.std(ddof=1) if len(expected) > 1 else 0.0
        assert moments.deviation()[number, column] == pytest.approx(deviation, rel=1e-6, abs=1e-4)


def test_no_digit_is_lost_where_the_mean_is_large(tmp_path):
    values = (1e9 + np.random.default_rng(0).normal(size=10_000)).astype(np.float64)
    np.save(tmp_path / "x.npy", values)
    statistics = silo_statistics.SiloStatistics(tmp_path / "x.npy", silos_of([10_000]))
    assert statistics.values.deviation()[0, 0] == pytest.approx(values.std(ddof=1), rel=1e-6)
