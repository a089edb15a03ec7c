import pytest

from tests.tfx_federated.silo_partitioner.partition_run import DEFAULTS
from tfx_federated.silo_partitioner import parameters


def from_properties(**properties):
    return parameters.PartitionParameters.from_exec_properties({**DEFAULTS, **properties})


def test_exec_properties_become_typed():
    assert from_properties(splits='["train", "eval"]', maximum_malformed_share=1) == parameters.PartitionParameters(
        "company", ("train", "eval"), 1, 3, "error", 1.0
    )


@pytest.mark.parametrize("splits", [None, ""])
def test_absent_splits_mean_all(splits):
    assert from_properties(splits=splits).splits is None


@pytest.mark.parametrize(
    ("policy", "silo"), [("error", None), ("skip", None), ("assign:none", "none"), ("assign:a:b c", "a:b c")]
)
def test_assigned_silo(policy, silo):
    assert from_properties(rows_without_silo=policy).assigned_silo == silo


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("silo_key", ""),
        ("splits", "[]"),
        ("splits", '["train", "train"]'),
        ("splits", "[1]"),
        ("splits", '"train"'),
        ("splits", "train"),
        ("minimum_rows", 0),
        ("shards", 0),
        ("shards", -1),
        ("rows_without_silo", "drop"),
        ("rows_without_silo", "assign:"),
        ("rows_without_silo", ""),
        ("maximum_malformed_share", -0.1),
        ("maximum_malformed_share", 1.1),
        ("maximum_malformed_share", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is "):
        from_properties(**{name: value})
