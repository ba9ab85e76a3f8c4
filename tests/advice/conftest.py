"""What tests of advice share."""

import sys

import pytest
import zoo_source


# Of a file, not a package: folders of tests are none, and it would stay for all others.
@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Makes `zoo:` a source: its folder is on the import path of this process."""
    folder = zoo_source.write_plugin(tmp_path_factory.mktemp("zoo"))
    sys.path.append(str(folder))
    yield
    sys.path.remove(str(folder))
