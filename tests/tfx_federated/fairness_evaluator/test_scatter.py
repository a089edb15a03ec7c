import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import scatter
from tfx_federated.fairness_evaluator.silo_table import SiloTable, SliceMetrics


def table(*silos, overall=None):
    rows = [SliceMetrics(str(number), count, None, value, None, None) for number, (count, value) in enumerate(silos)]
    return SiloTable(SliceMetrics("", 1, None, overall, None, None), tuple(rows))


def test_axes_positions_can_be_derived_by_hand():
    plot = scatter.lay_out(table((10, 0.5), (1000, 1.0), overall=0.75), 50)
    assert [tick.label for tick in plot.x_ticks] == ["10", "100", "1,000"]
    assert [tick.label for tick in plot.y_ticks] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    first, second = plot.points
    assert (first.x, first.y, first.enough_rows) == (plot.left, plot.bottom, False)
    assert (second.x, second.y, second.enough_rows) == (plot.right, plot.top, True)
    assert plot.overall == (plot.top + plot.bottom) / 2


def test_without_a_defined_metric_there_is_no_plot():
    assert scatter.lay_out(table((10, None)), 50) is None
    assert scatter.lay_out(table(), 50) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(-2, 2)), min_size=1, max_size=20))
def test_every_point_lies_inside_the_axes_and_more_rows_lie_further_right(silos):
    plot = scatter.lay_out(table(*silos), 50)
    for point in plot.points:
        assert plot.left - 0.1 <= point.x <= plot.right + 0.1
        assert plot.top - 0.1 <= point.y <= plot.bottom + 0.1
        assert math.isfinite(point.x + point.y)
    by_rows = sorted(plot.points, key=lambda point: point.silo.rows)
    assert [point.x for point in by_rows] == sorted(point.x for point in by_rows)
    assert 3 <= len(plot.y_ticks) <= 8
    assert len({tick.label for tick in plot.y_ticks}) == len(plot.y_ticks)
