import pytest

from tff_runtime import job as job_lib
from tff_runtime import module_file

WRONG_MODULES = {
    "without the function": ("x = 1", "defines no function 'model_fn'"),
    "that does not import": ("import tfx_package_that_is_not_here", "import what only TFX has inside preprocessing_fn"),
    "whose function raises": ("def model_fn(arguments):\n    raise KeyError('my own mistake')", "my own mistake"),
    "that returns something else": ("def model_fn(arguments):\n    return 5", "returned a int"),
    "with an unknown input": (
        "import tensorflow as tf\nfrom tff_runtime.model import FederatedModel\n"
        "def model_fn(arguments):\n"
        "    x = tf.keras.Input((3,), name='z')\n"
        "    model = tf.keras.Model(x, tf.keras.layers.Dense(1)(x))\n"
        "    return FederatedModel(model, tf.keras.losses.MeanSquaredError())",
        r"the model takes \['z'\].*they have \['x'\]",
    ),
    "with batch normalization": (
        "import tensorflow as tf\nfrom tff_runtime.model import FederatedModel\n"
        "def model_fn(arguments):\n"
        "    x = tf.keras.Input((3,), name='x')\n"
        "    model = tf.keras.Model(x, tf.keras.layers.BatchNormalization()(x))\n"
        "    return FederatedModel(model, tf.keras.losses.MeanSquaredError())",
        "use LayerNormalization or GroupNormalization",
    ),
    "with a loss by name": (
        "import tensorflow as tf\nfrom tff_runtime.model import FederatedModel\n"
        "def model_fn(arguments):\n"
        "    x = tf.keras.Input((3,), name='x')\n"
        "    return FederatedModel(tf.keras.Model(x, tf.keras.layers.Dense(1)(x)), 'mse')",
        "loss must be a tf.keras.losses.Loss",
    ),
}


@pytest.mark.parametrize("name", WRONG_MODULES)
def test_a_module_is_refused(make_job, name):
    source, message = WRONG_MODULES[name]
    directory = make_job({"a": 3}, module=source)
    with pytest.raises(job_lib.JobError, match=message):
        module_file.load(directory.module, directory.read_job()).make_model()


def test_the_users_traceback_is_in_the_message(make_job):
    directory = make_job({"a": 3}, module="def model_fn(arguments):\n    return arguments.features['nowhere']")
    with pytest.raises(job_lib.JobError, match=r"module.py.*line 2, in model_fn(.|\n)*KeyError: 'nowhere'"):
        module_file.load(directory.module, directory.read_job()).make_model()


def test_the_function_is_told_features_label_and_custom_config(make_job):
    module = (
        "def model_fn(arguments):\n"
        "    raise ValueError((arguments.features['x'].shape, arguments.label_key, arguments.custom_config))"
    )
    directory = make_job({"a": 3}, module=module, custom_config={"width": 5})
    with pytest.raises(job_lib.JobError, match=r"\(\(3,\), 'y', \{'width': 5\}\)"):
        module_file.load(directory.module, directory.read_job()).make_model()


@pytest.mark.parametrize(
    ("body", "message"),
    [("return 5", "returned a int, expected a tff.learning"), ("raise KeyError('mine')", "learning_process_fn raised")],
)
def test_a_learning_process_function_is_refused(make_job, body, message):
    module = f"def model_fn(arguments): pass\ndef learning_process_fn(arguments, model_function):\n    {body}"
    user = module_file.load(make_job({"a": 3}, module=module).module, make_job({"a": 3}, name="other").read_job())
    with pytest.raises(job_lib.JobError, match=message):
        user.make_process()
