import logging

import kfp.components
import pytest
import yaml
from pipelines.flights import kubeflow_runner
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.experimental.conditionals import conditional
from tfx.orchestration import data_types
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.types import standard_artifacts

from tests.kubeflow import executors
from tfx_federated.kubeflow import compiled_pipeline, compiler, placement

DIGEST = f"registry.example/image@sha256:{'a' * 64}"


def small_pipeline(**options):
    measure = executors.Measure(good=data_types.RuntimeParameter("good", int, 1))
    push = executors.Push(blessing=measure.outputs["blessing"])
    return tfx_pipeline.Pipeline("small", "", components=[measure, push], **options)


def compiled(folder, pipeline=None, images=DIGEST, **arguments):
    file = folder / "pipeline.yaml"
    compiler.compile_pipeline(pipeline or small_pipeline(), file, images=images, **arguments)
    return list(yaml.safe_load_all(file.read_text()))


def containers(specification):
    executors_of = specification["deploymentSpec"]["executors"]
    return {label.removesuffix("_executor"): executor["container"] for label, executor in executors_of.items()}


def test_the_same_pipeline_gives_the_same_bytes(tmp_path):
    texts = []
    for name in ("a.yaml", "b.yaml"):
        pipeline = kubeflow_runner.create_kubeflow_pipeline()
        compiler.compile_pipeline(pipeline, tmp_path / name, images=DIGEST, environment={"B": "1", "A": "2"})
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


def test_kfp_loads_both_documents(tmp_path):
    compiled(tmp_path, placement={"Push": placement.Placement(spot=True)})
    component = kfp.components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert {"Measure", "Push"} <= set(component.pipeline_spec.components)
    (label,) = component.platform_spec.platforms["kubernetes"].deployment_spec.executors
    assert label == "Push_executor"


def test_every_container_runs_our_entrypoint_in_its_image(tmp_path):
    (specification,) = compiled(tmp_path, images={"default": DIGEST, "Push": "registry.example/other:2"})
    found = containers(specification)
    assert found["Measure"]["image"] == DIGEST
    assert found["Push"]["image"] == "registry.example/other:2"
    for container in found.values():
        assert container["command"] == ["python", "-m", "tfx_federated.kubeflow.entrypoint"]
        assert "--json_serialized_inputs_spec_args" in container["args"]
        assert "lifecycle" not in container


def test_the_environment_is_set_and_names_the_node(tmp_path):
    (specification,) = compiled(tmp_path, environment={"TF_CPP_MIN_LOG_LEVEL": "2"})
    for node, container in containers(specification).items():
        assert container["env"] == [
            {"name": "TFX_FEDERATED_NODE", "value": node},
            {"name": "TF_CPP_MIN_LOG_LEVEL", "value": "2"},
        ]


def test_parameters_have_their_defaults(tmp_path):
    (specification,) = compiled(tmp_path)
    assert specification["root"]["inputDefinitions"]["parameters"] == {
        "good": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1}
    }


def test_a_placement_of_a_node_comes_before_the_default(tmp_path):
    gpu = placement.Placement(accelerators=placement.Accelerators())
    data = placement.Placement(volumes=(placement.Volume("data", "/mnt"),))
    specification, platform = compiled(tmp_path, placement={"Push": gpu, "default": data})
    assert containers(specification)["Push"]["resources"] == {"accelerator": {"type": "nvidia.com/gpu", "count": "1"}}
    assert "resources" not in containers(specification)["Measure"]
    assert platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"] == {
        "Measure_executor": {"pvcMount": [{"constant": "data", "mountPath": "/mnt"}]}
    }


def test_a_condition_names_inputs_that_the_task_has(tmp_path):
    measure = executors.Measure(good=1)
    blessed = measure.outputs["blessing"].future()[0].custom_property("blessed") == 1
    with conditional.Cond(blessed):
        asking = executors.Push(blessing=measure.outputs["blessing"]).with_id("Asking")
        other = executors.Measure(good=0).with_id("Other")
    pipeline = tfx_pipeline.Pipeline("conditional", "", components=[measure, asking, other])
    (specification,) = compiled(tmp_path, pipeline)
    tasks = specification["root"]["dag"]["tasks"]
    expected = "(inputs.artifacts['{}'].artifacts[0].metadata['blessed'] == 1.0)"
    for name, key in (("Asking", "blessing"), ("Other", "_Measure.blessing")):
        assert tasks[name]["triggerPolicy"]["condition"] == expected.format(key)
        assert set(tasks[name]["inputs"]["artifacts"]) == {key}


def test_caching_is_set_per_task(tmp_path):
    (specification,) = compiled(tmp_path, small_pipeline(enable_cache=True), caching={"Push": False})
    tasks = specification["root"]["dag"]["tasks"]
    assert tasks["Measure"]["cachingOptions"] == {"enableCache": True}
    assert tasks["Push"]["cachingOptions"] == {}


def test_an_example_gen_is_cached_only_if_it_is_named(tmp_path):
    for caching, expected in ((None, {}), ({"CsvExampleGen": True}, {"enableCache": True})):
        pipeline = kubeflow_runner.create_kubeflow_pipeline()
        pipeline.enable_cache = True
        (specification,) = compiled(tmp_path, pipeline, caching=caching)
        tasks = specification["root"]["dag"]["tasks"]
        assert tasks["CsvExampleGen"]["cachingOptions"] == expected
        assert tasks["Transform"]["cachingOptions"] == {"enableCache": True}


def test_the_user_interface_gets_outputs_of_its_own_types(tmp_path):
    (specification,) = compiled(tmp_path, kubeflow_runner.create_kubeflow_pipeline())
    outputs = specification["components"]["FairnessEvaluator"]["outputDefinitions"]["artifacts"]
    titles = {key: output["artifactType"].get("schemaTitle") for key, output in outputs.items()}
    assert {key: title for key, title in titles.items() if title} == {
        "report_html": "system.HTML",
        "report_metrics": "system.Metrics",
        "evaluation_roc": "system.ClassificationMetrics",
    }


def test_an_importer_stays_as_it_is(tmp_path):
    examples = Importer(
        source_uri="s3://bucket/examples",
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["train"]'},
    ).with_id("Examples")
    statistics = StatisticsGen(examples=examples.outputs["result"])
    pipeline = tfx_pipeline.Pipeline("imported", "", components=[examples, statistics])
    (specification,) = compiled(tmp_path, pipeline)
    importer = specification["deploymentSpec"]["executors"]["Examples_executor"]["importer"]
    assert importer["artifactUri"] == {"constant": "s3://bucket/examples"}


@pytest.mark.parametrize("image", ["image", "image:latest", "registry.example:5000/image"])
def test_an_image_that_can_change_is_refused_unless_allowed(tmp_path, image):
    with pytest.raises(compiler.CompilationError, match=f"'{image}' can be another image tomorrow"):
        compiled(tmp_path, images=image)
    assert not (tmp_path / "pipeline.yaml").exists()
    compiled(tmp_path, images=image, allow_latest=True)


@pytest.mark.parametrize("image", ["", "a b:1", "image@sha256:123"])
def test_what_is_no_image_reference_is_refused(tmp_path, image):
    with pytest.raises(compiler.CompilationError, match="is no image reference"):
        compiled(tmp_path, images=image)


def test_a_tag_without_a_digest_is_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, compiler.__name__):
        compiled(tmp_path, images="image:1")
    assert [record.getMessage() for record in caplog.records if record.name == compiler.__name__] == [
        "image image:1 is named without a digest: whoever can push the tag can change what runs"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": {"Push": DIGEST}}, "no image for node 'Measure'"),
        (
            {"images": {"default": DIGEST, "Trainer": DIGEST}},
            "images: the pipeline has no node 'Trainer'; its",
        ),
        ({"placement": {"Trainer": placement.Placement()}}, "placement: the pipeline has no node 'Trainer'"),
        ({"caching": {"default": True}}, "caching: the pipeline has no node 'default'"),
        ({"environment": {"AZURE_STORAGE_KEY": "x", "STORAGE_PASSWORD": "x"}}, "STORAGE_PASSWORD looks like a secret"),
        ({"environment": {"AZURE_ACCOUNT_KEY": "x"}}, "AZURE_ACCOUNT_KEY looks like a secret"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path, arguments, message):
    with pytest.raises(compiler.CompilationError, match=message):
        compiled(tmp_path, **arguments)
    assert not (tmp_path / "pipeline.yaml").exists()


def test_a_secret_among_the_beam_arguments_is_refused(tmp_path):
    pipeline = small_pipeline(beam_pipeline_args=["--s3_secret_access_key=x"])
    with pytest.raises(compiler.CompilationError, match="--s3_secret_access_key looks like a secret"):
        compiled(tmp_path, pipeline)


def test_a_placement_that_the_backend_does_not_know_is_refused(tmp_path):
    placed = {"Push": placement.Placement(shared_memory="1Gi")}
    with pytest.raises(placement.PlacementError, match="node 'Push': enabledSharedMemory needs"):
        compiled(tmp_path, placement=placed, minimum_backend="2.0.5")


def test_labels_of_one_node_need_a_newer_backend(tmp_path):
    placed = {"Push": placement.Placement(labels={"a": "b"})}
    with pytest.raises(placement.PlacementError, match="'Measure' and 'Push' have different labels"):
        compiled(tmp_path, placement=placed)
    compiled(tmp_path, placement=placed, minimum_backend="2.14.0")


def test_another_file_name_is_refused(tmp_path):
    with pytest.raises(compiler.CompilationError, match="is not named"):
        compiler.compile_pipeline(small_pipeline(), tmp_path / "pipeline.json", images=DIGEST)


@pytest.mark.parametrize("change", [{"unknown": 1}, {"root": {"dag": {"task": {}}}}])
def test_a_field_that_the_protos_lack_is_an_error(tmp_path, change):
    (specification,) = compiled(tmp_path)
    file = tmp_path / "pipeline.yaml"
    assert compiled_pipeline.parse(specification, {}, file).name == "small"
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match="the PipelineSpec is wrong"):
        compiled_pipeline.parse({**specification, **change}, {}, file)
