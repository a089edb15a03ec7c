import pytest

from benchmarks.inference import cost

# 2 s of start and 3 us a row, of which the model takes 1.
CONTENDERS = {
    "ours": {"rows": 4_000_000, "cpu_microseconds_per_row": 3.5},
    "ours_quarter": {"rows": 1_000_000, "cpu_microseconds_per_row": 5.0},
    "model_only": {"rows_per_second": 1e6},
}


def test_the_start_is_no_part_of_the_cost_of_a_row():
    assert cost.seconds_of_core(CONTENDERS) == pytest.approx(3e-6)


def test_cores_share_the_rows_and_a_gpu_takes_the_model_off_them():
    of_core, of_model = cost.seconds_of_core(CONTENDERS), cost.seconds_of_model(CONTENDERS)

    assert cost.node_hours(cost.Node("cpu", 6), 3600 * 10**6, of_core, of_model) == pytest.approx(0.5)
    assert cost.node_hours(cost.Node("gpu", 4, has_gpu=True), 3600 * 10**6, of_core, of_model) == pytest.approx(0.5)
