import pytest
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.infra_validator.component import InfraValidator
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.base import base_component, base_driver, executor_spec
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals import conditional
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto import example_gen_pb2, infra_validator_pb2, range_config_pb2
from tfx.types import Artifact, Channel, artifact, channel_utils, component_spec, standard_artifacts

from tests.kubeflow import executors
from tfx_federated.kubeflow import limitations


class Driver(base_driver.BaseDriver):
    pass


class Typed(Artifact):
    TYPE_NAME = "Typed"


class WithProperties(Artifact):
    TYPE_NAME = "tests.WithProperties"
    PROPERTIES = {"rows": artifact.Property(type=artifact.PropertyType.INT)}


class SomeSpec(component_spec.ComponentSpec):
    PARAMETERS = {"text": component_spec.ExecutionParameter(type=str, optional=True)}
    INPUTS = {}
    OUTPUTS = {"output": component_spec.ChannelParameter(type=Artifact)}


class Some(base_component.BaseComponent):
    SPEC_CLASS = SomeSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.Record)

    def __init__(self, output_type=standard_artifacts.Model, text=None):
        spec = object.__new__(SomeSpec)
        SomeSpec.OUTPUTS = {"output": component_spec.ChannelParameter(type=output_type)}
        spec.__init__(output=Channel(type=output_type), text=text)
        super().__init__(spec)


class Driven(Some):
    DRIVER_CLASS = Driver


def examples(**options):
    return CsvExampleGen(input_base="/data", **options)


def spans():
    splits = [example_gen_pb2.Input.Split(name="train", pattern="day-{SPAN}/train/*")]
    return [examples(input_config=example_gen_pb2.Input(splits=splits))]


def ranges():
    window = range_config_pb2.RollingRange(num_spans=2)
    splits = [example_gen_pb2.Input.Split(name="train", pattern="train/*")]
    return [
        examples(
            input_config=example_gen_pb2.Input(splits=splits),
            range_config=range_config_pb2.RangeConfig(rolling_range=window),
        )
    ]


def resolver():
    return [
        Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id("Baseline")
    ]


def infra_validator():
    spec = infra_validator_pb2.ServingSpec(tensorflow_serving=infra_validator_pb2.TensorFlowServing(tags=["1"]))
    return [InfraValidator(model=Channel(type=standard_artifacts.Model), serving_spec=spec)]


def union():
    one, two = examples().with_id("One"), examples().with_id("Two")
    both = channel_utils.union([one.outputs["examples"], two.outputs["examples"]])
    return [one, two, StatisticsGen(examples=both)]


def value_of_an_output():
    measured = executors.Measure()
    pushed = executors.Push(blessing=measured.outputs["blessing"])
    return [measured, pushed, Some(text=pushed.outputs["pushed"].future()[0].value)]


def placed():
    component = examples()
    component.platform_config = {"gpu": 1}
    return [component]


def importer_under_a_condition():
    measured = executors.Measure()
    with conditional.Cond(measured.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        imported = Importer(source_uri="s3://bucket/model", artifact_type=standard_artifacts.Model).with_id("Imported")
    return [measured, imported]


def nested():
    return [tfx_pipeline.Pipeline("inner", "", components=[examples()])]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (resolver, r"node 'Baseline': Kubeflow Pipelines has no resolvers; .*Importer\(source_uri=...\)"),
        (infra_validator, "node 'InfraValidator': TFX's compiler cannot build InfraValidator"),
        (lambda: [Driven()], "node 'Driven': its driver Driver would never run"),
        (spans, "node 'CsvExampleGen': the pattern 'day-{SPAN}/train/\\*' needs the driver"),
        (ranges, "node 'CsvExampleGen': range_config needs the driver"),
        (union, "node 'StatisticsGen': input 'examples' is a UnionChannel"),
        (value_of_an_output, "node 'Some': text is read from another component's output"),
        (placed, "node 'CsvExampleGen': it has a platform_config"),
        (lambda: [examples().with_id("csv_examples")], "node 'csv_examples': its id does not match"),
        (lambda: [Some(Typed)], "node 'Some': output 'output' of type Typed: Invalid custom artifact type name"),
        (lambda: [Some(WithProperties)], "node 'Some': output 'output' of type WithProperties: .*rows"),
        (importer_under_a_condition, "node 'Imported': an Importer cannot stand under a condition"),
        (nested, "node 'inner': a pipeline inside a pipeline"),
    ],
)
def test_what_cannot_run_names_the_node(make, message):
    with pytest.raises(limitations.UnsupportedPipelineError, match=message):
        limitations.require_supported(tfx_pipeline.Pipeline("some", "", components=make()))


def test_a_pipeline_root_and_a_bad_name_are_refused_and_everything_is_told_at_once():
    pipeline = tfx_pipeline.Pipeline("Some_name", "/root", components=[examples().with_id("a_b"), Driven()])
    with pytest.raises(limitations.UnsupportedPipelineError) as error:
        limitations.require_supported(pipeline)
    lines = str(error.value).splitlines()[1:]
    assert sorted(line.split(":")[0].split(" would")[0] for line in lines) == [
        "- node 'Driven'",
        "- node 'a_b'",
        "- the name 'Some_name' does not match [a-z0-9][a-z0-9-]{0,127}; rename the pipeline",
        "- the pipeline root '/root'",
    ]


def test_stock_components_and_conditions_are_supported():
    measured = executors.Measure()
    with conditional.Cond(measured.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        pushed = executors.Push(blessing=measured.outputs["blessing"])
    generated = examples()
    statistics = StatisticsGen(examples=generated.outputs["examples"])
    limitations.require_supported(
        tfx_pipeline.Pipeline("some", "", components=[measured, pushed, generated, statistics])
    )
