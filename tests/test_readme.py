"""The README's code does what it says."""

import pathlib
import re

from tfx.types import channel_utils, standard_artifacts

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


class Producer:
    """Stands for the reader's own ExampleGen and Trainer: something with outputs."""

    outputs = {
        "examples": channel_utils.as_channel([standard_artifacts.Examples()]),
        "model": channel_utils.as_channel([standard_artifacts.Model()]),
    }


def test_the_component_of_the_readme_can_be_made():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace = {}
    exec(code, namespace)
    component = namespace["with_fairness"](Producer(), Producer())
    assert set(component.outputs) == {"evaluation", "blessing", "report"}
