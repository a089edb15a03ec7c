import pytest
from tfx import types
from tfx.orchestration import data_types
from tfx.types import channel_utils, standard_artifacts

from tff_runtime.settings import aggregations, algorithms, ledgers, personalizations, privacy
from tfx_federated import artifacts
from tfx_federated.federated_trainer.component import FederatedTrainer


def channel(artifact_type):
    return channel_utils.as_channel([artifact_type()])


@pytest.fixture
def module_file(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("one = 1")
    return str(file)


def trainer(module_file, **changes):
    arguments = {
        "silo_examples": channel(artifacts.SiloExamples),
        "transform_graph": channel(standard_artifacts.TransformGraph),
        "module_file": module_file,
        "label_key": "y",
        **changes,
    }
    return FederatedTrainer(**arguments)


def test_outputs_are_a_standard_model_and_a_run(module_file):
    outputs = trainer(module_file).outputs
    assert {name: output.type for name, output in outputs.items()} == {
        "model": standard_artifacts.Model,
        "federated_run": artifacts.FederatedRun,
    }


def test_local_models_are_an_output_when_they_are_trained(module_file):
    for changes in ({"local_models": True}, {"personalization": personalizations.Ditto(strength=0.1)}):
        assert trainer(module_file, **changes).outputs["silo_models"].type is artifacts.SiloModels


def test_a_choice_is_the_same_as_its_json_text(module_file):
    text = '{"type": "Clipping", "inner": {"type": "TrimmedMean", "fraction": 0.2}, "quantile": 0.9}'
    setting = aggregations.Clipping(aggregations.TrimmedMean(0.2), quantile=0.9)
    properties = [trainer(module_file, aggregation=choice).exec_properties["aggregation"] for choice in (text, setting)]
    assert properties[0] == properties[1]


def test_a_choice_may_be_filled_in_at_run_time(module_file):
    parameter = data_types.RuntimeParameter(name="algorithm", ptype=str, default='{"type": "FedAvg"}')
    assert trainer(module_file, algorithm=parameter).exec_properties["algorithm"] is parameter


def test_execution_properties_are_primitive(module_file):
    properties = trainer(module_file, custom_config={"width": 3}).exec_properties
    assert {type(value) for value in properties.values() if value is not None} <= {int, float, str}
    assert properties["custom_config"] == '{"width": 3}'


def test_excluded_silos_are_a_json_list_or_filled_in_at_run_time(module_file):
    assert trainer(module_file, excluded_silos=["b", "a"]).exec_properties["excluded_silos"] == '["b", "a"]'
    assert trainer(module_file).exec_properties["excluded_silos"] == "[]"
    parameter = data_types.RuntimeParameter(name="excluded-silos", ptype=str, default="[]")
    assert trainer(module_file, excluded_silos=parameter).exec_properties["excluded_silos"] is parameter


def test_a_changed_module_file_changes_the_execution_properties(module_file):
    before = trainer(module_file).exec_properties["module_digest"]
    with open(module_file, "a") as file:
        file.write("\ntwo = 2")
    assert trainer(module_file).exec_properties["module_digest"] != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transform_graph": None}, "either transform_graph .* or schema"),
        ({"schema": channel(standard_artifacts.Schema)}, "either transform_graph .* or schema"),
        ({"rounds": -1}, "rounds is -1; it must be at least 0"),
        ({"rounds": 0}, "rounds is 0: nothing is trained without personalization=FineTuning"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"excluded_silos": "a"}, "excluded_silos is 'a'; it must be a list of silos"),
        ({"client_learning_rate": 0.0}, "client_learning_rate is 0.0; it must be positive"),
        ({"silo_weighting": "log"}, "silo_weighting is 'log'; it must be one of examples, uniform, square_root"),
        ({"maximum_silo_share": 0.0}, "maximum_silo_share is 0.0; it must be above 0 and at most 1"),
        ({"server_momentum": 1.0}, "server_momentum is 1.0"),
        ({"server_momentum": 0.9, "server_optimizer": "adam"}, "0 with another optimizer than sgd"),
        ({"algorithm": "FedProx"}, "algorithm is no JSON"),
        ({"algorithm": '{"type": "FedPro"}'}, '"type" is .FedPro.; it must be one of FedAvg, FedProx'),
        ({"algorithm": '{"type": "FedProx", "strength": 0}'}, "FedProx: strength is 0; it must be positive"),
        ({"algorithm": aggregations.Mean()}, "algorithm is Mean.*must be one of FedAvg, FedProx"),
        (
            {"algorithm": algorithms.QFedAvg(q=1), "aggregation": aggregations.Clipping(aggregations.Median())},
            "QFedAvg with Median: the algorithm works by weights",
        ),
        ({"personalization": personalizations.FineTuning(), "evaluation_split": None}, "FineTuning compares models"),
        (
            {"privacy": privacy.RecordLevel(epsilon=1, delta=1e-5), "local_models": True},
            "The privacy guarantee would be void:\n- RecordLevel with local_models",
        ),
        (
            {
                "privacy": privacy.SiloLevel(epsilon=1, delta=1e-5),
                "silo_weighting": "uniform",
                "evaluation_split": None,
                "ledger": ledgers.DetailedLedger(),
            },
            "SiloLevel with DetailedLedger: it stores the updates of single silos",
        ),
        ({"ledger": '{"type": "DetailedLedger", "maximum_bytes": 0}'}, "maximum_bytes is 0; it must be at least 1"),
        ({"server_optimizer": "lamb"}, "server_optimizer is 'lamb'; it must be one of sgd, adagrad, adam, yogi"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_wrong_parameter_is_named_when_the_pipeline_is_made(module_file, changes, message):
    with pytest.raises(ValueError, match=message):
        trainer(module_file, **changes)


def test_the_inputs_take_any_channel_of_their_type(module_file):
    assert isinstance(trainer(module_file).inputs["silo_examples"], types.BaseChannel)
