import pytest
from ml_metadata.proto import metadata_store_pb2
from pipelines.flights import local_runner, unequal_silos


def line(round_number, split, silo, rows, auc):
    return {"round": round_number, "split": split, "model": "federated", "silo": silo, "rows": rows, "auc": auc}


LINES = [
    line(1, "eval", "large", 100, 0.1),
    line(2, "train", "large", 5000, 0.9),
    line(2, "train", "small", 300, 0.9),
    line(2, "train", "middle", 3999, 0.9),
    line(2, "train", "tiny", 20, 0.9),
    line(2, "eval", "large", 100, 0.8),
    line(2, "eval", "small", 50, 0.6),
    line(2, "eval", "middle", 50, 0.7),
    line(2, "eval", "tiny", 10, 0.2),
]


def test_a_model_is_summed_up_by_hand():
    assert unequal_silos.measure(LINES) == pytest.approx(
        {
            "by rows": (100 * 0.8 + 50 * 0.6 + 50 * 0.7 + 10 * 0.2) / 210,
            "by silos": (0.8 + 0.6 + 0.7) / 3,
            "small silos": (0.6 + 0.7) / 2,
            "worst silo": 0.6,
        }
    )


def test_the_table_has_a_line_for_each_variant():
    lines = unequal_silos.as_table({"Examples": {"by rows": 0.5}, "Uniform": {"by rows": 0.25}}).splitlines()
    assert [entry.split() for entry in lines] == [["AUC", "by", "rows"], ["Examples", "0.5000"], ["Uniform", "0.2500"]]


def test_every_variant_is_a_trainer_on_the_same_silo_examples(tmp_path):
    made = unequal_silos.create_pipeline(
        str(tmp_path), str(tmp_path), str(local_runner.MODULE_FILE), 3, metadata_store_pb2.ConnectionConfig()
    )
    nodes = {node.id: node for node in made.components}
    for name, settings in unequal_silos.VARIANTS.items():
        assert nodes[name].inputs["silo_examples"].producer_component_id == "SiloPartitioner"
        assert {key: nodes[name].exec_properties[key] for key in settings} == settings
