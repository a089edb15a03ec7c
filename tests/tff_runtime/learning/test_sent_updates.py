import numpy as np
import pytest

from tff_runtime import functional_model, module_file
from tff_runtime.learning import sent_updates
from tff_runtime.settings import cohorts, ledgers, privacy


def test_an_update_goes_where_the_weights_go_and_is_flattened_variable_after_variable():
    kernel = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    bias = np.array([[100.0], [200.0]], np.float32)
    sent = sent_updates.of_stacks([kernel, bias], np.array([1.0, 3.0]))
    np.testing.assert_array_equal(sent.vectors, [[-0.0, -1, -2, -3, -4, -5, -100], [-6, -7, -8, -9, -10, -11, -200]])
    np.testing.assert_array_equal(sent.weights, [1, 3])


def test_cosines_are_to_the_weighted_mean():
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, -1.0], [0.0, 0.0]], np.float32)
    # Their weighted mean points to (3, 2 - 6) / 10, at the cosines 3 / 5 and 4 / 5 to the axes.
    sent = sent_updates.SentUpdates(vectors, np.array([3.0, 1.0, 6.0, 0.0], np.float32))
    np.testing.assert_allclose(sent_updates.cosines(sent), [0.6, -0.8, 0.8, np.nan], rtol=1e-6)


def test_where_all_updates_cancel_out_no_cosine_is_known():
    vectors = np.array([[1.0, 2.0], [-1.0, -2.0]], np.float32)
    sent = sent_updates.SentUpdates(vectors, np.ones(2, np.float32))
    np.testing.assert_array_equal(sent_updates.cosines(sent), [np.nan, np.nan])


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"privacy": privacy.SiloLevel(1.0, 1e-5)}, False),
        # 21 weights of 4 bytes for each of so many silos.
        ({"cohort": cohorts.UniformSample(2**28 // 84)}, True),
        ({"cohort": cohorts.UniformSample(2**28 // 84 + 1)}, False),
        ({"cohort": cohorts.UniformSample(2**28 // 84 + 1), "ledger": ledgers.DetailedLedger()}, True),
    ],
)
def test_a_summary_keeps_updates_together_where_they_are_small(make_job, changes, kept):
    directory = make_job({"a": 4, "b": 4}, **changes)
    job = directory.read_job()
    model = functional_model.FunctionalModel(module_file.load(directory.module, job).make_model, job)
    assert sent_updates.parameters(model) == 21
    assert sent_updates.are_kept(job, model) == kept
