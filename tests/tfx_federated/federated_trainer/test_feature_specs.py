import pytest
import tensorflow as tf

from tfx_federated.federated_trainer import feature_specs

SPECS = {
    "company": tf.io.FixedLenFeature((), tf.string),
    "late": tf.io.FixedLenFeature((), tf.int64),
    "dense": tf.io.FixedLenFeature((3,), tf.float32),
    "text": tf.io.FixedLenFeature((), tf.string),
    "often": tf.io.VarLenFeature(tf.float32),
}


def test_a_model_may_take_dense_numbers_but_not_label_and_silo():
    assert feature_specs.dense_numeric(SPECS, "company", "late") == {"dense": SPECS["dense"]}
    assert set(feature_specs.dense_numeric(SPECS, "company", "dense")) == {"late"}


def test_features_without_any_dense_number_are_refused():
    with pytest.raises(
        feature_specs.FeatureError, match=r"no feature .* is a dense number; there are \['late', 'often'\]"
    ):
        feature_specs.dense_numeric({name: SPECS[name] for name in ("late", "often")}, "company", "late")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("nowhere", "label 'nowhere' is not in the silo examples"),
        ("text", "label 'text' is not numeric but string"),
        ("often", "label 'often' is not in every row"),
    ],
)
def test_a_label_that_cannot_be_trained_on_is_refused(label, message):
    with pytest.raises(feature_specs.FeatureError, match=message):
        feature_specs.label(SPECS, label)


def test_a_dense_numeric_label_is_taken():
    assert feature_specs.label(SPECS, "late") == SPECS["late"]
