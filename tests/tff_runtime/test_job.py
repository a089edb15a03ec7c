import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tff_runtime import job as job_lib
from tff_runtime import silo_weights
from tff_runtime.settings import aggregations, algorithms, executions

text = st.text(max_size=8)
stored = st.builds(
    job_lib.StoredFeature,
    dtype=st.sampled_from(["float32", "int64"]),
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    file=text,
)
silo_rows = st.builds(job_lib.SiloRows, silo=text, start=st.integers(0, 99), count=st.integers(0, 99))
jobs = st.builds(
    job_lib.TrainingJob,
    features=st.dictionaries(text, stored, max_size=3),
    label_key=text,
    label=stored,
    silos=st.dictionaries(text, st.lists(silo_rows, max_size=3).map(tuple), max_size=2),
    train_split=text,
    evaluation_split=st.none() | text,
    rounds=st.integers(1, 9),
    local_epochs=st.integers(1, 9),
    batch_size=st.integers(1, 9),
    client_learning_rate=st.floats(0.001, 9),
    silo_weighting=st.sampled_from(silo_weights.WEIGHTINGS),
    maximum_silo_share=st.floats(0.001, 1),
    server_optimizer=st.sampled_from(job_lib.SERVER_OPTIMIZERS),
    server_learning_rate=st.floats(0.001, 9),
    server_momentum=st.floats(0, 0.99),
    evaluation_interval=st.integers(1, 9),
    checkpoint_interval=st.integers(1, 9),
    local_models=st.booleans(),
    seed=st.integers(0, 2**31),
    custom_config=st.dictionaries(text, st.integers() | text, max_size=2),
    algorithm=st.just(algorithms.FedAvg()) | st.builds(algorithms.FedProx, st.floats(0.1, 9)),
    aggregation=st.builds(aggregations.Clipping, st.just(aggregations.Median()), st.floats(0.1, 0.9)),
    execution=st.just(executions.Native()) | st.just(executions.Remote(("a:1", "b:2"), worker_of_silo={"x": 1})),
)


@given(jobs)
def test_a_job_read_back_is_the_job_written(job):
    assert job_lib.TrainingJob.from_json(job.to_json()) == job


@given(text, text, st.none() | text, st.none() | st.integers(1, 9))
def test_an_error_read_back_is_the_error_written(kind, message, silo, round_number):
    error = job_lib.JobError.from_json(job_lib.JobError(kind, message, silo, round_number).to_json())
    assert (error.kind, str(error), error.silo, error.round_number) == (kind, message, silo, round_number)


def test_a_job_of_another_version_is_refused():
    with pytest.raises(ValueError, match="format 99"):
        job_lib.TrainingJob.from_json(json.dumps({"format": 99}))
