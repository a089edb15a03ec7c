import json
import runpy
import sys

import pytest
from ml_metadata.proto import metadata_store_pb2
from pipelines.flights import (
    comparison,
    data,
    local_runner,
    personalization,
    record_level_privacy,
    robust_aggregation,
    unequal_silos,
)

from tff_runtime import job as job_lib
from tfx_federated.federated_trainer import parameters

EXAMPLES = (unequal_silos, record_level_privacy, personalization, robust_aggregation)
TRAINING_ROWS = {"large": 5000, "small": 300, "middle": 3999, "tiny": 20}


def line(round_number, split, silo, rows, auc, model="federated"):
    values = {"rows": rows, "auc": auc, "loss": 10 * auc}
    return {"round": round_number, "split": split, "model": model, "silo": silo, **values}


LINES = [
    line(1, "eval", "large", 100, 0.1),
    line(2, "train", "large", 5000, 0.9),
    line(2, "eval", "large", 100, 0.8),
    line(2, "eval", "small", 50, 0.6),
    line(2, "eval", "middle", 50, 0.7),
    line(2, "eval", "tiny", 10, 0.2),
]
MEASURED = {
    "AUC by rows": (100 * 0.8 + 50 * 0.6 + 50 * 0.7 + 10 * 0.2) / 210,
    "by silos": (0.8 + 0.6 + 0.7) / 3,
    "small silos": (0.6 + 0.7) / 2,
    "worst silo": 0.6,
    "loss by rows": 10 * (100 * 0.8 + 50 * 0.6 + 50 * 0.7 + 10 * 0.2) / 210,
}


def test_a_model_is_summed_up_by_hand():
    assert comparison.measure(LINES, TRAINING_ROWS) == pytest.approx(MEASURED)


@pytest.mark.parametrize("model", ["personal", "local"])
def test_models_of_the_silos_own_count_instead_of_the_federated_one(model):
    own = [{**entry, "model": model} for entry in LINES]
    federated = [{**entry, "auc": 0.1, "loss": 1.0} for entry in LINES]
    assert comparison.measure(federated + own, TRAINING_ROWS) == pytest.approx(MEASURED)


@pytest.mark.parametrize("privacy", [{}, {"epsilon": 1.5}])
def test_a_run_is_read_with_what_it_spent(tmp_path, privacy):
    (tmp_path / "silo_metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in LINES))
    silos = {silo: {"rows": rows, "weight": 1.0} for silo, rows in TRAINING_ROWS.items()}
    (tmp_path / "settings.json").write_text(json.dumps({"silos": silos}))
    if privacy:
        (tmp_path / "privacy.json").write_text(json.dumps(privacy))
    assert comparison.read_measures(tmp_path) == pytest.approx(MEASURED | privacy)


def test_the_table_has_a_line_for_each_variant():
    results = {"Examples": {"by rows": 0.5}, "Private": {"by rows": 0.25, "epsilon": 1.0}}
    assert [entry.split() for entry in comparison.as_table(results).splitlines()] == [
        ["by", "rows", "epsilon"],
        ["Examples", "0.5000", "-"],
        ["Private", "0.2500", "1.0000"],
    ]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_variant_is_a_trainer_on_the_same_silo_examples(example, tmp_path):
    made = comparison.create_pipeline(
        name=example.NAME,
        variants=example.VARIANTS,
        pipeline_root=str(tmp_path),
        data_root=str(tmp_path),
        module_file=str(local_runner.MODULE_FILE),
        rounds=3,
        metadata_connection_config=metadata_store_pb2.ConnectionConfig(),
    )
    nodes = {node.id: node for node in made.components}
    for name, settings in example.VARIANTS.items():
        assert nodes[name].inputs["silo_examples"].producer_component_id == "SiloPartitioner"
        assert {key: nodes[name].exec_properties[key] for key in settings} == {
            key: parameters.encoded(value, key) if key in job_lib.CHOICES else value for key, value in settings.items()
        }


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_program_of_its_name(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [example.NAME, "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(example.__file__, run_name="__main__")
    text = " ".join(capsys.readouterr().out.split())
    assert example.__doc__.splitlines()[0] in text
    assert example.__file__.endswith(f"/{example.NAME}.py")


def test_the_labels_of_one_airline_are_flipped_and_nothing_else(tmp_path):
    header, row = ",".join(data.COLUMNS), "".join("{}," if name == "carrier" else "," for name in data.COLUMNS[:-1])
    rows = [f"{row.format(carrier)}{label}" for carrier, label in (("UA", 0), ("AA", 0), ("UA", 1))]
    for split in data.SPLITS:
        (tmp_path / "flights" / split).mkdir(parents=True)
        (tmp_path / "flights" / split / "flights.csv").write_text("\n".join([header, *rows]) + "\n")
    for _ in range(2):
        changed = robust_aggregation.flip_labels(tmp_path / "flights", tmp_path)
    flipped = [f"{row.format(carrier)}{label}" for carrier, label in (("UA", 1), ("AA", 0), ("UA", 0))]
    assert (changed / "train" / "flights.csv").read_text().splitlines() == [header, *flipped]
    assert (changed / "eval" / "flights.csv").read_text().splitlines() == [header, *rows]
