import logging

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, examples_artifact, run
from tfx_federated.beam_batch_inferrer import progress


def test_a_run_tells_rows_batches_and_stages(tmp_path, sigmoid_model, caplog, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    caplog.set_level(logging.INFO, logger="absl")
    examples = examples_artifact(
        tmp_path / "examples", {"eval/x": [example(1.0, "a")] * 5 + [example(None, "a")], "eval/y": [example(1.0, "a")]}
    )
    run(sigmoid_model, [examples], tmp_path / "out", batch_size=4, maximum_dead_letter_share=0.5)
    assert "BeamBatchInferrer, rows: 7" in caplog.text
    assert "BeamBatchInferrer, dead_letters: 1" in caplog.text
    assert "BeamBatchInferrer, batch_rows: 3 times, mean 2, least 1, most 4" in caplog.text
    for stage in ("read", "score", "write"):
        assert f"BeamBatchInferrer, {stage}_microseconds: " in caplog.text
    assert "it is in 0/Split-eval/x" in caplog.text
