import pytest

from tff_runtime.settings import encoding
from tfx_federated.contribution_evaluator import methods, utilities


@pytest.mark.parametrize(
    "method",
    [
        methods.DEFAULT,
        methods.LocalModelsShapley(exact_silos=4),
        methods.GtgShapley(truncation=0.0),
        methods.FederatedShapley(round_decay=0.5),
        methods.LeaveOneOut(),
        methods.GradientCosine(memory=0.5),
        methods.Retraining(maximum_silos=3),
        methods.LeaveGroupOut(groups=4),
        methods.Fallback(methods.Retraining(), methods.LeaveOneOut()),
    ],
)
def test_a_method_is_read_as_it_was_written(method):
    assert encoding.decode(encoding.encode(method), methods.ALTERNATIVES, "method") == method


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.LocalModelsShapley(exact_silos=21), "exact_silos is 21; it must be from 0 to 20"),
        (lambda: methods.LocalModelsShapley(truncation=1.5), "truncation is 1.5; it must be from 0 to 1"),
        (lambda: methods.GtgShapley(between_rounds=-0.1), "between_rounds is -0.1; it must be from 0 to 1"),
        (lambda: methods.GtgShapley(relative_error=0.0), "relative_error is 0.0; it must be positive"),
        (lambda: methods.GtgShapley(minimum_permutations=1), "minimum_permutations is 1; it must be at least 2"),
        (lambda: methods.GtgShapley(maximum_evaluations=0), "maximum_evaluations is 0; it must be at least 1"),
        (lambda: methods.GtgShapley(maximum_silos=0), "maximum_silos is 0; it must be at least 1"),
        (lambda: methods.FederatedShapley(permutations=1), "permutations is 1; it must be at least 2"),
        (lambda: methods.FederatedShapley(exact_silos=-1), "exact_silos is -1; it must be from 0 to 20"),
        (lambda: methods.LeaveOneOut(round_decay=0.0), "round_decay is 0.0; it must be above 0 and at most 1"),
        (lambda: methods.GradientCosine(memory=1.0), "memory is 1.0; it must be at least 0 and below 1"),
        (lambda: methods.Retraining(maximum_silos=17), "maximum_silos is 17; it must be from 1 to 16"),
        (lambda: methods.LeaveGroupOut(groups=1), "groups is 1; it must be at least 2"),
        (lambda: methods.Fallback(methods.Fallback()), "preferred is .* it must be a method that is no Fallback"),
        (lambda: methods.Fallback(otherwise="GtgShapley"), "otherwise is 'GtgShapley'; it must be a method"),
        (lambda: utilities.OverallMetric("f1"), "metric is 'f1'; it must be 'auc' or 'accuracy'"),
    ],
)
def test_what_is_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
