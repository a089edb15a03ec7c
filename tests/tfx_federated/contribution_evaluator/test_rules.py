import pytest

from tfx_federated.contribution_evaluator import rules


def test_rules_survive_json():
    asked = [
        rules.NoFindings(kinds=("harm", "duplicate"), when_undecided="pass"),
        rules.LargestContribution(0.5),
        rules.ShareSignificantlyHurt(0.1),
    ]
    assert rules.decode(rules.encode(asked)) == tuple(asked)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.NoFindings(kinds=("theft",)), "NoFindings: kinds"),
        (lambda: rules.NoFindings(kinds=()), "NoFindings: kinds"),
        (lambda: rules.LargestContribution(0.0), "LargestContribution: maximum is 0.0; it must be above 0"),
        (lambda: rules.ShareSignificantlyHurt(1.5), "ShareSignificantlyHurt: maximum is 1.5; it must be from 0 to 1"),
        (lambda: rules.LargestContribution(0.5, when_undecided="maybe"), "when_undecided is 'maybe'"),
    ],
)
def test_a_field_out_of_its_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_rule_is_named():
    with pytest.raises(
        ValueError, match=r"rules\[0\] is 0.5; it must be one of NoFindings, LargestContribution, Share"
    ):
        rules.encode([0.5])
    with pytest.raises(ValueError, match=r"rules\[0\].*\"type\" is 'Largest'"):
        rules.decode('[{"type": "Largest"}]')
