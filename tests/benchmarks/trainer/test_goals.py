import pytest

from benchmarks.trainer import comparison, goals, plan, report, workloads
from benchmarks.trainer.contenders import CONTENDERS

SECONDS = {"in_process": 0.2, "floor": 0.1, "stock_tff": 2.0}


@pytest.mark.parametrize(
    ("figure", "rival", "value"),
    [
        (goals.Figure.RATIO, "floor", 2.0),
        (goals.Figure.SPEED_UP, "stock_tff", 10.0),
        (goals.Figure.OVERHEAD, "floor", 0.1),
    ],
)
def test_the_figure_of_a_goal(figure, rival, value):
    goal = goals.Goal("logistic_1000", "in_process", rival, figure, 1.0)

    assert goal.value(SECONDS, silos=1000) == pytest.approx(value)


def test_a_ratio_must_stay_below_and_a_speed_up_must_reach_its_limit():
    ratio = goals.Goal("mlp_16x51200", "in_process", "floor", goals.Figure.RATIO, 1.3)
    speed_up = goals.Goal("mlp_16x51200", "native", "stock_tff", goals.Figure.SPEED_UP, 5)

    assert (ratio.is_met(1.3), ratio.is_met(1.31)) == (True, False)
    assert (speed_up.is_met(5.0), speed_up.is_met(4.9)) == (True, False)


def test_a_goal_against_a_rival_that_did_not_finish_is_neither_met_nor_missed():
    goal = goals.Goal("logistic_1000", "in_process", "pfl", goals.Figure.SPEED_UP, 5)

    assert goal.value(SECONDS, silos=1000) is None
    assert report.goal_line(goal, None).startswith("not measured")


def test_every_goal_and_plan_is_about_a_workload_and_contenders_that_exist():
    for goal in goals.GOALS:
        assert goal.workload in workloads.DESIGNS
        assert {goal.contender, goal.rival} <= set(CONTENDERS)
    for workload in workloads.DESIGNS:
        for contender in CONTENDERS:
            assert 2 <= plan.of(workload, contender).rounds <= plan.most_rounds(workload)


def test_an_equal_loss_is_equal_to_four_digits():
    comparison.require_equal_loss(0.34315, 0.34310)
    for other in (0.34325, float("nan")):
        with pytest.raises(comparison.ContenderError, match="not the same training"):
            comparison.require_equal_loss(other, 0.34310)
