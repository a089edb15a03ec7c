from tests.tff_runtime import conftest
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime.contexts import in_process
from tff_runtime.privacy import private_rounds
from tff_runtime.settings import executions

NORMALIZED = conftest.MODULE.replace(
    'activation="tanh")(x)', 'activation="tanh")(tf.keras.layers.LayerNormalization()(x))'
)
ROWS = {f"{rows} rows": rows for rows in range(1, 13)}
REPEATS = 100


def test_silos_measured_at_the_same_time_get_the_numbers_of_each_alone(make_job):
    directory = make_job(ROWS, module=NORMALIZED, execution=executions.InProcess(threads=4))
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    run = in_process.InProcess(
        federated_training.build_parts(directory, job, user, private_rounds.build(directory, job))
    )
    weights = initial_weights.initial_weights(directory, job, user.make_model)
    silos = job.silos["train"]
    alone = [metrics for silo in silos for metrics in run.evaluate(weights, "train", [silo])]
    # With the kernels that `tensorflow_environment` turns off, one number in 130 was wrong, or the process died.
    for _ in range(REPEATS):
        assert list(run.evaluate(weights, "train", silos)) == alone
