import numpy as np
import pytest

from benchmarks.data import tables


def test_the_forward_split_holds_out_the_last_days():
    rides = tables.load_rides()
    held_out = tables.held_out_rides(rides, "forward_in_time")
    assert rides["day"][~held_out].max() < rides["day"][held_out].min()
    days = rides["day"].nunique()
    assert rides["day"][held_out].nunique() == round(days * 110 / 365)


def test_no_day_is_in_both_parts_of_the_whole_day_split():
    rides = tables.load_rides()
    held_out = tables.held_out_rides(rides, "whole_days")
    assert held_out.any()
    assert not set(rides["day"][held_out]) & set(rides["day"][~held_out])


def test_features_are_standardised_by_the_fitted_rows_only():
    rides = tables.load_rides()
    fitted = ~tables.held_out_rides(rides, "forward_in_time")
    features = tables.ride_features(rides, fitted)
    logarithm = np.log1p(rides["fare"].to_numpy())
    expected = (logarithm - logarithm[fitted].mean()) / logarithm[fitted].std()
    np.testing.assert_allclose(features[:, 2], np.clip(expected, -4, 4), atol=1e-5)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="choose one of whole_days, forward_in_time"):
        tables.held_out_rides(tables.load_rides(), "rows")
