"""The code of docs/components/federated_trainer.md that TFF runs."""

import pathlib
import re

import numpy as np

from tests.tff_runtime import conftest
from tff_runtime import federated_training, module_file
from tff_runtime.settings import executions

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "components" / "federated_trainer.md"


def test_the_process_of_the_page_trains_in_the_context_that_the_page_says(make_job):
    text = PAGE.read_text(encoding="utf-8")
    (process,) = re.findall(r"```python\n(def learning_process_fn.*?)```", text, re.DOTALL)
    directory = make_job({"a": 9, "b": 5}, module=conftest.MODULE + process, execution=executions.Native())
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    trained = federated_training.run_training(directory, job, user)
    initial = user.make_model().keras_model.trainable_variables
    for weights, variable in zip(trained.weights.trainable, initial, strict=True):
        assert np.asarray(weights).shape == variable.shape
        assert np.isfinite(weights).all()
    assert any(np.any(np.asarray(bias)) for bias in trained.weights.trainable[1::2]), "biases begin at zero"
