import pytest
from benchmarks.suite.data import manifests
from hypothesis import given
from hypothesis import strategies as st

skews = st.none() | st.floats(0.01, 100)
families = st.builds(
    manifests.Family,
    silos=st.integers(2, 1000),
    rows=st.integers(1000, 10**6),
    least_rows=st.integers(1, 9),
    size_skew=st.floats(0, 3),
    label_skew=skews,
    feature_skew=skews,
    shifted_share=st.floats(0, 0.99),
)


@given(family=families, source=st.sampled_from(manifests.SOURCES), seed=st.integers(0, 2**32))
def test_a_manifest_is_read_back_as_it_was_written(family, source, seed):
    manifest = manifests.Manifest(source, family=family, seed=seed)
    assert manifests.Manifest.from_json(manifest.to_json()) == manifest


def test_the_key_is_about_the_draw_and_not_about_the_checksum():
    one, same, other = (
        manifests.Manifest("taxi", seed=seed, checksum=checksum) for seed, checksum in ((0, ""), (0, "x"), (1, ""))
    )
    assert one.key == same.key != other.key


@pytest.mark.parametrize(
    "fields",
    [
        {"silos": 1},
        {"silos": 10, "rows": 9},
        {"size_skew": 1.0},
        {"silos": 10, "label_skew": 0.0},
        {"planted": "garbage_labels"},
        {"shifted_share": 1.0},
    ],
)
def test_a_value_out_of_its_range_is_refused_with_its_name(fields):
    with pytest.raises(ValueError, match=f"{'silos' if 'size_skew' in fields else list(fields)[-1]} is .*must be"):
        manifests.Family(**fields)


def test_a_manifest_of_another_format_is_refused():
    with pytest.raises(ValueError, match="format 0; this suite reads format 1"):
        manifests.Manifest.from_json('{"format": 0}')
