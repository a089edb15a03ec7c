import pytest

from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import tally as tally_lib


def parameters(policy="error", share=0.0):
    return parameters_lib.PartitionParameters("company", None, 1, 1, policy, share)


def tally(*counts):
    return tally_lib.Tally.from_counts([(("rows_in", "train"), 100), (("feature", "company"), 90), *counts])


TWO_MALFORMED = [
    (("set_aside", "train", "non_finite_value", "fare", "A"), 1),
    (("set_aside", "train", "unparsable_record", "", ""), 1),
]


def test_parts_of_a_count_are_summed():
    summed = tally((["rows_in", "eval"], 3), (["rows_in", "train"], 2), *TWO_MALFORMED, *TWO_MALFORMED)
    assert summed.rows_in == {"train": 102, "eval": 3}
    assert (summed.malformed(), summed.malformed("train"), summed.malformed("eval")) == (4, 4, 0)


def test_acceptable_rows_have_no_problem():
    assert tally_lib.problem(tally(), parameters()) is None


@pytest.mark.parametrize(("share", "fails"), [(0.0, True), (0.019, True), (0.02, False), (1.0, False)])
def test_the_run_fails_above_the_maximum_share(share, fails):
    assert (tally_lib.problem(tally(*TWO_MALFORMED), parameters(share=share)) is not None) == fails


def test_too_many_malformed_rows_are_listed_by_reason_feature_and_silo():
    text = tally_lib.problem(tally(*TWO_MALFORMED), parameters())
    assert "2 of 100 rows are malformed (2.0000%)" in text
    assert "1 rows of split 'train': non_finite_value, each has NaN or infinity in feature 'fare' (silos: 'A')" in text
    assert "1 rows of split 'train': unparsable_record, each is not a tf.Example" in text
    assert "raise maximum_malformed_share" in text


def test_a_long_list_of_faults_is_cut_short():
    faults = [(("set_aside", "train", "non_finite_value", f"x{n:02d}", f"s{n}"), 1) for n in range(25)]
    silos = [(("set_aside", "train", "non_finite_value", "x00", f"t{n:02d}"), 1) for n in range(12)]
    text = tally_lib.problem(tally(*faults, *silos), parameters())
    assert "and 5 more kinds" in text
    assert "'t08' and 3 more)" in text
    assert "'x20'" not in text


@pytest.mark.parametrize(("policy", "fails"), [("error", True), ("skip", False)])
def test_rows_without_silo_fail_the_run_only_by_policy(policy, fails):
    text = tally_lib.problem(tally((("set_aside", "train", "without_silo", "company", ""), 5)), parameters(policy))
    assert (text is not None) == fails
    if text:
        assert "5 of 100 rows have no silo in 'company' (5 in split 'train')" in text


def test_a_silo_key_in_no_row_is_named_with_the_features_that_occur():
    counts = tally_lib.Tally.from_counts([(("rows_in", "train"), 2), (("feature", "b"), 2), (("feature", "a"), 1)])
    text = tally_lib.problem(counts, parameters("assign:none"))
    assert "silo_key 'company' occurs in none of 2 rows" in text
    assert text.endswith("'a', 'b'")


def test_no_row_at_all_is_a_problem():
    assert "no rows for any silo" in tally_lib.problem(tally_lib.Tally.from_counts([]), parameters())


def test_all_rows_put_aside_is_a_problem():
    counts = tally((("set_aside", "train", "without_silo", "company", ""), 98), *TWO_MALFORMED)
    text = tally_lib.problem(counts, parameters("skip", 1.0))
    assert "no rows for any silo: of 100 rows 2 are malformed and 98 have no silo" in text
