import pytest
from tfx.types import standard_artifacts

from tfx_federated.beam_batch_inferrer import model_files


@pytest.mark.parametrize(
    ("properties", "version"),
    [({}, None), ({"pushed_version": "1700000000"}, "1700000000"), ({"version": 3}, "3")],
)
def test_a_model_is_named_by_its_uri_and_its_version_if_it_has_one(properties, version):
    model = standard_artifacts.Model()
    model.uri = "/models/7"
    for name, value in properties.items():
        if isinstance(value, int):
            model.set_int_custom_property(name, value)
        else:
            model.set_string_custom_property(name, value)
    assert model_files.identity(model) == {"uri": "/models/7", "version": version}


def test_a_model_without_a_blessing_is_scored():
    assert model_files.reason_not_to_score(None) is None
