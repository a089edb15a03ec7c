import subprocess
import sys

import pytest

import tfx_federated


@pytest.mark.parametrize("name", [name for name in tfx_federated.__all__ if name != "__version__"])
def test_every_public_name_can_be_imported(name):
    assert getattr(tfx_federated, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tfx_federated.Nothing  # noqa: B018


def test_the_package_itself_imports_neither_tfx_nor_tensorflow():
    script = (
        "import sys, tfx_federated, tff_runtime.job, tff_runtime.model; print({'tfx', 'tensorflow'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "set()"
