import pytest
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import portable_runner
from tfx.utils import dependency_utils

from tfx_federated import beam_options

DATAFLOW = {"project": "p", "region": "europe-west4", "temp_location": "gs://b/tmp", "image": "registry/image:1"}


def parsed(arguments):
    """Returns what Beam understands of the arguments; a flag that it does not know is missing."""
    return pipeline_options.PipelineOptions(list(arguments)).get_all_options(drop_default=True)


def test_direct_runs_in_this_process():
    assert parsed(beam_options.direct()) == {
        "runner": "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        "sdk_container_image": "unused",
    }


WORKERS = {
    "environment_type": "EXTERNAL",
    "environment_config": "localhost:50000",
    "sdk_worker_parallelism": "1",
    "environment_cache_millis": "600000",
    "beam_plugins": ["tfx"],
    "sdk_container_image": "unused",
}


def test_flink_submits_one_jar_to_the_cluster():
    assert parsed(beam_options.flink(master="http://beam-flink-rest:8081", parallelism=8)) == {
        "runner": "FlinkRunner",
        "flink_master": "http://beam-flink-rest:8081",
        "flink_submit_uber_jar": True,
        "flink_version": beam_options.FLINK_VERSION,
        "parallelism": 8,
        **WORKERS,
    }


def test_flink_takes_the_job_server_jar_of_the_image():
    arguments = beam_options.flink(master="https://flink:443/a", version="1.19", job_server_jar="/jars/job-server.jar")
    assert parsed(arguments)["flink_job_server_jar"] == "/jars/job-server.jar"
    assert parsed(arguments)["flink_version"] == "1.19"


def test_flink_goes_through_a_job_server():
    arguments = beam_options.flink(job_endpoint="jobs:8099", worker_pool="[::1]:5001", worker_processes=4)
    expected = {**WORKERS, "environment_config": "[::1]:5001", "sdk_worker_parallelism": "4"}
    assert parsed(arguments) == {
        "runner": "PortableRunner",
        "job_endpoint": "jobs:8099",
        "parallelism": 1,
        **expected,
    }


def test_spark_goes_through_a_job_server():
    assert parsed(beam_options.spark("jobs:8099", worker_processes=2)) == {
        "runner": "PortableRunner",
        "job_endpoint": "jobs:8099",
        **WORKERS,
        "sdk_worker_parallelism": "2",
    }


def test_dataflow_starts_workers_of_an_image():
    assert parsed(beam_options.dataflow(**DATAFLOW)) == {
        "runner": "DataflowRunner",
        "project": "p",
        "region": "europe-west4",
        "temp_location": "gs://b/tmp",
        "sdk_container_image": "registry/image:1",
        "sdk_location": "container",
        "beam_plugins": ["tfx"],
    }


def test_dataflow_in_a_subnetwork_has_no_public_addresses():
    arguments = beam_options.dataflow(
        **DATAFLOW,
        service_account="w@p.iam.gserviceaccount.com",
        subnetwork="regions/r/subnetworks/s",
        maximum_workers=9,
    )
    options = parsed(arguments)
    assert options["use_public_ips"] is False
    assert options["subnetwork"] == "regions/r/subnetworks/s"
    assert options["service_account_email"] == "w@p.iam.gserviceaccount.com"
    assert options["max_num_workers"] == 9


EVERY_ENVIRONMENT = {
    "direct": beam_options.direct(),
    "flink": beam_options.flink(master="http://flink:8081"),
    "flink by job server": beam_options.flink(job_endpoint="jobs:8099"),
    "spark": beam_options.spark("jobs:8099"),
    "dataflow": beam_options.dataflow(**DATAFLOW),
}


@pytest.mark.parametrize("arguments", EVERY_ENVIRONMENT.values(), ids=EVERY_ENVIRONMENT)
def test_tfx_packs_no_source_distribution_of_itself(arguments):
    assert dependency_utils.make_beam_dependency_flags(list(arguments)) == list(arguments)


def test_beam_connects_to_the_worker_pool_whatever_image_is_named():
    options = pipeline_options.PipelineOptions(list(beam_options.spark("jobs:8099", worker_pool="pool:50001")))
    environment = portable_runner.PortableRunner._create_environment(options)
    assert environment.to_runner_api(None).urn == "beam:env:external:v1"
    assert environment.url == "pool:50001"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give one of them"),
        ({"master": "http://flink:8081", "job_endpoint": "jobs:8099"}, "give one of them"),
        ({"master": "flink:8081"}, "REST address"),
        ({"master": ""}, "REST address"),
        ({"master": "http://flink:8081", "version": "1.2"}, "runs on Flink 1.19, 1.20"),
        ({"job_endpoint": "jobs:8099", "version": "1.19"}, "leave them out"),
        ({"job_endpoint": "jobs:8099", "job_server_jar": "x.jar"}, "leave them out"),
        ({"job_endpoint": "http://jobs:8099"}, "job_endpoint is 'http://jobs:8099'; give host:port"),
        ({"job_endpoint": "jobs"}, "job_endpoint is 'jobs'; give host:port"),
        ({"job_endpoint": "jobs:0"}, "port 1 to 65535"),
        ({"job_endpoint": "jobs:65536"}, "port 1 to 65535"),
        ({"job_endpoint": "jobs:8099", "worker_pool": "pool"}, "worker_pool is 'pool'"),
        ({"job_endpoint": "jobs:8099", "worker_processes": 0}, "worker_processes is 0"),
        ({"job_endpoint": "jobs:8099", "parallelism": 1.5}, "parallelism is 1.5"),
        ({"job_endpoint": "jobs:8099", "parallelism": True}, "parallelism is True"),
    ],
)
def test_flink_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_options.flink(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"project": ""}, "project is ''"),
        ({"region": "europe west"}, "region is 'europe west'"),
        ({"image": ""}, "image is ''"),
        ({"temp_location": "/tmp"}, "temp_location is '/tmp'; give a folder in Cloud Storage"),
        ({"temp_location": "gs://"}, "temp_location is 'gs://'"),
        ({"maximum_workers": 0}, "maximum_workers is 0"),
    ],
)
def test_dataflow_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_options.dataflow(**{**DATAFLOW, **arguments})
