"""The flights pipeline on a few airlines, run by LocalDagRunner."""

import numpy as np
import tensorflow as tf
from pipelines.flights import data, local_runner, pipeline, summary
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner
from tfx.utils import path_utils

from tfx_federated import silo_examples, whole_files
from tfx_federated.fairness_evaluator import report

ROUNDS = 2
MINIMUM_OVERALL_AUC = 0.3
MINIMUM_WORST_SILO_AUC = 0.01
CARRIERS = ["AS", "F9", "HA", "OO", "YV", "VX"]


def write_data(folder):
    flights = data.load_flights()
    flights = flights[flights["carrier"].isin(CARRIERS)].iloc[::4]
    is_eval = flights["date"].isin(data.eval_dates(flights["date"]))
    for split, part in (("train", flights[~is_eval]), ("eval", flights[is_eval])):
        (folder / split).mkdir(parents=True)
        part[list(data.COLUMNS)].to_csv(folder / split / "flights.csv", index=False)
    return flights[is_eval]


class Run:
    def __init__(self, folder):
        self.data_root = folder / "data"
        self.eval_flights = write_data(self.data_root)
        self.metadata_file = folder / "metadata.sqlite"
        local_dag_runner.LocalDagRunner().run(
            pipeline.create_pipeline(
                pipeline_root=str(folder / "artifacts"),
                data_root=str(self.data_root),
                module_file=str(local_runner.MODULE_FILE),
                serving_directory=str(folder / "serving"),
                rounds=ROUNDS,
                minimum_overall_auc=MINIMUM_OVERALL_AUC,
                minimum_worst_silo_auc=MINIMUM_WORST_SILO_AUC,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(self.metadata_file)),
            )
        )
        self.serving = folder / "serving"
        self.raw_eval_pattern = str(folder / "artifacts" / "CsvExampleGen" / "examples" / "*" / "Split-eval" / "*")
        self.uris = summary.artifacts_of_latest_run(self.metadata_file)
        self.reader = silo_examples.SiloExamplesReader(self.uris["tfx_federated.SiloExamples"])
        self.model = tf.saved_model.load(path_utils.serving_model_path(self.uris["Model"]))
        self.report = report.read(self.uris["tfx_federated.FairnessReport"])
        self.contributions = whole_files.read_json(f"{self.uris['tfx_federated.ContributionReport']}/report.json")

    def raw_eval_rows(self):
        files = tf.io.gfile.glob(self.raw_eval_pattern)
        return [record.numpy() for record in tf.data.TFRecordDataset(files, "GZIP")]

    def eval_scores(self):
        rows = tf.constant(self.raw_eval_rows())
        return self.model.signatures["serving_default"](examples=rows)["predictions"].numpy()[:, 0]

    def eval_labels(self):
        examples = [tf.train.Example.FromString(row) for row in self.raw_eval_rows()]
        return np.array([example.features.feature[data.LABEL_KEY].int64_list.value[0] for example in examples])
