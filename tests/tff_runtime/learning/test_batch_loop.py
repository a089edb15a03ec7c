import json
import os
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tff_runtime import functional_model, module_file
from tff_runtime.learning import batch_loop, local_algorithm, local_steps
from tff_runtime.settings import executions

SILOS, ROWS, BATCH = 3, 11, 4


def step(carry, batch, rate):
    """Depends on the order of the steps, on their numbers and on every row."""
    total = tf.reduce_sum(batch.mask * batch.labels * batch.features["x"][..., 0], axis=1)
    changed = carry * (1 - rate) + total / tf.cast(batch.step + 1, tf.float32)
    return tf.where(batch.active, changed, carry)


def by_numpy(carry, x, labels, order, steps, rate):
    carry = np.array(carry, np.float64)
    for silo in range(len(carry)):
        for number in range(steps[silo]):
            rows = order[silo, number][order[silo, number] >= 0]
            total = (labels[silo, rows] * x[silo, rows, 0]).sum()
            carry[silo] = carry[silo] * (1 - rate) + total / (number + 1)
    return carry


@pytest.fixture(scope="module")
def run():
    """Returns a function that runs one loop, compiled once for chunks of either length."""
    loop = batch_loop.BatchLoop(step)

    @tf.function(
        input_signature=[
            tf.TensorSpec((SILOS,)),
            tf.TensorSpec((SILOS, None, 2)),
            tf.TensorSpec((SILOS, None)),
            tf.TensorSpec((SILOS, None, BATCH), tf.int32),
            tf.TensorSpec((SILOS,), tf.int32),
            tf.TensorSpec(()),
        ]
    )
    def traced(carry, x, labels, order, steps, rate):
        return loop(carry, batch_loop.Rows({"x": x}, labels, order, steps), rate)

    return traced


def case(steps, seed=0):
    random = np.random.default_rng(seed)
    order = random.integers(-1, ROWS, (SILOS, max(*steps, 1), BATCH)).astype(np.int32)
    # Silos with fewer steps than others are padded.
    order[np.arange(order.shape[1]) >= np.array(steps)[:, np.newaxis]] = -1
    x, labels = random.normal(size=(SILOS, ROWS, 2)), random.normal(size=(SILOS, ROWS))
    arrays = [random.normal(size=SILOS), x, labels]
    return [array.astype(np.float32) for array in arrays] + [order, np.array(steps, np.int32), np.float32(0.1)]


SHORT, LONG = batch_loop.CHUNK_LENGTHS


@pytest.mark.parametrize("most_steps", [1, SHORT, SHORT + 1, LONG, LONG + 1, 2 * LONG, 2 * LONG + 3])
def test_every_silo_takes_its_steps_in_chunks_of_either_length(run, most_steps):
    arguments = case([most_steps // 2, most_steps, 0])
    result = run(*arguments)
    np.testing.assert_allclose(result, by_numpy(*arguments), rtol=1e-4, atol=1e-5)
    assert result[2] == arguments[0][2]


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.lists(st.integers(0, 3 * LONG), min_size=SILOS, max_size=SILOS), st.integers(0, 99))
def test_any_numbers_of_steps(run, steps, seed):
    arguments = case(steps, seed)
    np.testing.assert_allclose(run(*arguments), by_numpy(*arguments), rtol=1e-3, atol=1e-4)


def test_long_chunks_give_what_short_ones_give(run):
    arguments = case([SHORT, 3, 1])
    short = run(*arguments)
    # A silo with many steps makes the others' chunks long as well.
    longer = np.full((SILOS, 2 * LONG, BATCH), -1, np.int32)
    longer[:, :SHORT] = arguments[3]
    for silo in range(SILOS):
        steps = arguments[4].copy()
        steps[silo] = 2 * LONG
        long = run(*arguments[:3], longer, steps, arguments[5])
        others = np.arange(SILOS) != silo
        np.testing.assert_allclose(long.numpy()[others], short.numpy()[others], rtol=1e-6)


def test_padding_changes_nothing(make_job):
    directory = make_job({"a": 1})
    job = directory.read_job()
    model = functional_model.FunctionalModel(module_file.load(directory.module, job).make_model, job)
    train, random = local_steps.LocalSteps(model), np.random.default_rng(3)
    x, labels = random.normal(size=(2, 7, 3)), random.integers(0, 2, (2, 7, 1))
    start = [random.normal(size=(2, *spec.shape)) for spec in model.trainable]
    order = np.array([[[0, 1, 2], [3, 4, 5], [6, -1, -1]], [[2, 0, -1], [1, 3, -1], [-1, -1, -1]]])
    steps = [3, 2]

    def trained(start, x, labels, order, steps):
        rows = batch_loop.Rows({"x": floats(x)}, floats(labels), tf.constant(order, tf.int32), tf.constant(steps))
        task = local_algorithm.SiloTask(rows, rows.steps, rows.steps, tf.ones(len(steps)), tf.constant(0.3), state=[])
        return train([floats(weight) for weight in start], [], task)

    plain = trained(start, x, labels, order, steps)
    np.testing.assert_array_equal(plain.rows, [7, 4])
    # A third silo without steps, batches wider than any is, steps after the last, and rows that no batch takes.
    rows_behind = [(0, 1), (0, 4)]
    padded = trained(
        [np.concatenate([weight, weight[:1]]) for weight in start],
        np.pad(x, [*rows_behind, (0, 0)], constant_values=np.nan),
        np.pad(labels.astype(float), [*rows_behind, (0, 0)], constant_values=np.nan),
        np.pad(order, [(0, 1), (0, 2), (0, 2)], constant_values=-1),
        [*steps, 0],
    )
    np.testing.assert_array_equal(padded.rows, [7, 4, 0])
    np.testing.assert_allclose(padded.loss, [*plain.loss, 0], rtol=1e-5)
    for weight, alone, before in zip(padded.weights, plain.weights, start, strict=True):
        np.testing.assert_allclose(weight[:2], alone, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(weight[2], before[0].astype(np.float32))


def floats(values):
    return tf.constant(values, tf.float32)


def test_xla_compiles_as_often_as_the_event_says_whatever_the_numbers_of_rows(make_job, tmp_path):
    # Twelve silos and three rounds, but groups of three shapes: one silo with long chunks, one with a short one, and
    # 10 small silos together.
    rows = {"long": 60, "short": 25, **{f"small {count}": count for count in range(5, 9)}}
    rows |= {f"tiny {number}": number % 4 + 5 for number in range(6)}
    choices = {"local_models": False, "local_epochs": 1, "batch_size": 4, "execution": executions.InProcess(threads=1)}
    directory = make_job(rows, **choices)
    # XLA reads its flags once in a process.
    dumped = tmp_path / "xla"
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={dumped} --xla_dump_hlo_as_text"}
    command = [sys.executable, "-m", "tff_runtime", str(directory.path)]
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    events = [json.loads(line) for line in directory.progress.read_text().splitlines()]
    assert [event["compilations"] for event in events if event["event"] == "compiled"] == [3]
    assert len(list(dumped.glob("*_run_chunk_*.before_optimizations.txt"))) == 3
