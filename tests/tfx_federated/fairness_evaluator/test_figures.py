import re

import numpy as np
import pytest

from tfx_federated.fairness_evaluator import figures, report_frames
from tfx_federated.report_pages import colours

from .report_content import content


def drawn(draw, values, *arguments):
    return draw(values, report_frames.silos(values), *arguments)


def claimed(values):
    return [silo for silo in values["silos"] if silo["evidence"] == "enough"]


def test_every_silo_is_a_point_at_its_rows_and_value():
    values = content()
    enough, few = drawn(figures.metric_by_size, values).data
    assert list(enough.x) == [silo["rows"] for silo in claimed(values)]
    assert enough.y == pytest.approx([silo["value"] for silo in claimed(values)], rel=1e-5)
    lower = np.subtract(enough.y, enough.error_y.arrayminus)
    assert lower == pytest.approx([silo["lower"] for silo in claimed(values)], rel=1e-4)
    assert len(few.x) == len(values["silos"]) - len(enough.x) > 0
    assert few.error_y.array is None


def test_the_line_of_all_rows_is_drawn_and_described():
    figure = drawn(figures.metric_by_size, content())
    assert [shape.y0 for shape in figure.layout.shapes] == [0.75]
    assert "Over all rows it is 0.7500" in figure.layout.meta["description"]
    assert figure.layout.xaxis.type == "log"


@pytest.mark.parametrize(("higher_is_better", "pick"), [(True, min), (False, max)])
def test_many_silos_are_counted_in_cells_and_the_worst_marked(higher_is_better, pick):
    values = {**content(2500), "higher_is_better": higher_is_better}
    density, worst = drawn(figures.metric_by_size, values).data
    assert density.type == "heatmap"
    assert np.sum(density.customdata) == len(claimed(values))
    assert len(worst.y) == 20
    assert worst.y[0] == pytest.approx(pick(silo["value"] for silo in claimed(values)), rel=1e-5)


def test_the_size_of_the_figure_does_not_grow_with_the_silos():
    sizes = [len(drawn(figures.metric_by_size, content(silos)).to_json()) for silos in (2500, 10_000)]
    assert sizes[1] < 1.5 * sizes[0]


def test_the_distribution_counts_each_silo_with_enough_evidence_once():
    values = content(200)
    bars = drawn(figures.distribution, values).data[0]
    assert sum(bars.y) == len(claimed(values))


@pytest.mark.parametrize("silos", [12, 200, 2900])
def test_gains_are_sorted_and_coloured_by_verdict(silos):
    values = content(silos)
    figure = drawn(figures.benefit, values, "baseline")
    by_name = silos <= 30
    points = [
        (rank, gain, trace.name)
        for trace in figure.data
        for gain, rank in (zip(trace.x, trace.y, strict=True) if by_name else zip(trace.y, trace.x, strict=True))
    ]
    gains = [gain for _, gain, _ in sorted(points)]
    assert gains == sorted(gains)
    assert len(gains) == min(len(claimed(values)), len(claimed(values)) if silos <= 2000 else 400)
    lowest = min(silo["gains"]["baseline"]["gain"] for silo in claimed(values))
    assert gains[0] == pytest.approx(lowest, rel=1e-5)
    verdicts = {silo["gains"]["baseline"]["verdict"] for silo in claimed(values)}
    assert {name for _, _, name in points} <= verdicts


def test_a_model_that_was_not_compared_is_refused():
    with pytest.raises(ValueError, match=r"'silo_models'.*\['baseline', 'local_models'\]"):
        drawn(figures.benefit, content(), "silo_models")


def test_calibration_has_one_plot_per_part_and_says_how_far_off_it_is():
    values = content()
    values["calibration"] = values["calibration"][:1]
    values["calibration"][0]["bins"] = [
        {"mean_prediction": 0.2, "mean_label": 0.3, "lower": 0.2, "upper": 0.4, "rows": 30},
        {"mean_prediction": 0.8, "mean_label": 0.8, "lower": 0.7, "upper": 0.9, "rows": 10},
    ]
    figure = figures.calibration(values)
    assert list(figure.data[1].y) == [0.3, 0.8]
    # 30 rows are 0.1 off and 10 rows 0: 0.075.
    assert "All rows: they lie 0.0750 apart" in figure.layout.meta["description"]


def test_groups_show_the_silos_with_the_largest_gaps_the_largest_on_top():
    values = content(40)
    figure = figures.groups(values, 0)
    gaps = sorted(values["slices"][0]["gaps"], key=lambda gap: gap["gap"], reverse=True)
    assert list(figure.layout.yaxis.ticktext)[::-1] == [gap["silo"] for gap in gaps[:20]]
    assert {trace.name for trace in figure.data[1:]} == {"origin EWR", "origin JFK", "origin LGA"}


@pytest.mark.parametrize("draw", [figures.metric_by_size, figures.distribution])
def test_a_report_without_claims_still_gives_figures(draw):
    values = content(2, models=())
    for silo in values["silos"]:
        silo.update(value=None, lower=None, upper=None, evidence="undefined")
    assert drawn(draw, values).layout.meta["description"]


def test_names_are_text_for_plotly():
    values = content(5)
    for silo in values["silos"]:
        silo.update(name="<b>x</b>\n" + "long " * 20, rows=100, evidence="enough")
        silo["gains"]["baseline"]["verdict"] = "significantly hurt"
    label = drawn(figures.benefit, values, "baseline").layout.yaxis.ticktext[0]
    assert label.startswith("&lt;b&gt;x&lt;/b&gt; long")
    assert label.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert len(label) < 50


def test_every_colour_has_one_counterpart_in_dark_mode():
    assert colours.LIGHT.keys() == colours.DARK.keys()
    assert len(set(colours.LIGHT.values())) == len(colours.LIGHT)


def test_the_page_can_tell_every_colour_of_a_figure():
    values = content()
    figure = drawn(figures.benefit, values, "baseline")
    found = set(re.findall(r"#[0-9a-f]{6}", figure.to_json()))
    assert len(found) > 4
    assert found <= set(colours.LIGHT.values())
