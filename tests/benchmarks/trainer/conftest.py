import numpy as np
import pytest

from benchmarks.trainer import contract


@pytest.fixture
def small_workload():
    """Three silos of 3, 2 and 1 rows, two features, a hidden layer of four units, two rounds."""
    random = np.random.default_rng(0)
    shapes = [(2, 4), (4,), (4, 1), (1,)]
    return contract.Workload(
        name="small",
        batch_size=2,
        learning_rate=0.1,
        seed=1,
        weights=[random.normal(size=shape).astype(np.float32) for shape in shapes],
        features=random.normal(size=(6, 2)).astype(np.float32),
        labels=np.array([[0], [1], [1], [0], [1], [0]], np.float32),
        counts=np.array([3, 2, 1]),
        order=np.array([[2, 0, 1, 4, 3, 5], [0, 1, 2, 3, 4, 5]], np.int32),
    )
