"""`tfxfer backbones`, as a user types it."""

import json
import subprocess
import sys

import pytest

from tfxfer.backbones.registry import find_source
from tfxfer.cli.main import main
from tfxfer.testing import TinySource

pytestmark = pytest.mark.usefixtures("plugin")
MISTAKES = [
    (["kears"], "there is no source 'kears'. Did you mean 'keras'?"),
    (["VGG16"], "there is no source 'VGG16'. Did you mean keras:VGG16 or torch:vgg16?"),
    (["keras:VGG17"], "keras has no backbone 'VGG17'. Did you mean"),
    (["kears:VGG16"], "there is no source 'kears'. Did you mean 'keras'?"),
    (["keras:"], "names no network. keras has: ConvNeXtBase, "),
    (["hub:"], "names no network. Write hub:<folder>"),
    (["keras", "torch"], "one source or backbone at a time. Write: tfxfer backbones keras"),
    (["--layers"], "--layers is for one backbone. Write its handle before, such as keras:VGG16."),
    (["keras", "--image_size=96"], "--image_size is for one backbone."),
    (["keras:VGG16", "--present"], "--present is for lists. Write: tfxfer backbones --present"),
    (["keras:VGG16", "--image_size=big"], "--image_size=big is no number of pixels. Write --image_size=224."),
    (["keras:VGG16", "--image_size=0"], "--image_size=0 is no number of pixels."),
    (["--present=no"], "--present=no is neither true nor false. Write --present."),
    (["--presnt"], "Did you mean present? See: tfxfer backbones --help"),
]


@pytest.fixture
def shown(capsys):
    """Runs the command; returns what it prints, after a look that it ends well."""

    def run(*arguments: str) -> str:
        code = main(["backbones", *arguments])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        return captured.out

    return run


def row(text: str, start: str) -> str:
    """Returns the line that begins with `start`, its gaps made one blank."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return " ".join(line.split())


def test_the_list_takes_no_tensorflow_and_less_than_a_second():
    code = (
        "import sys, time\nfrom tfxfer.cli.main import main\n"
        "assert main(['backbones']) == 0\n"
        "print(time.process_time(), sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    seconds, modules = done.stderr.strip().split(" ", 1)
    assert modules == "[]"
    assert float(seconds) < 1


def test_the_list_has_every_handle_whole_in_80_columns_without_colours(shown):
    text = shown()
    for kind in ("builtin", "keras", "tiny", "torch"):
        names = find_source(f"{kind}:?")[0].names()
        assert names
        for name in names:
            assert row(text, f"{kind}:{name} ")
    table = [line for line in text.splitlines() if not line.startswith("  ")]
    assert len(table) >= 75
    assert max(map(len, table)) <= 80
    assert "\x1b" not in text
    for usage in ("  file:<path", "  hub:<folder>", "  kerashub:<preset", "  torch:<architecture>@"):
        assert usage in text


def test_the_list_of_one_source(shown):
    text = shown("keras")
    assert row(text, "keras:VGG16 ").startswith("keras:VGG16 14.7M 224 13 512 71.3 CC-BY-4.0 ")
    assert "builtin:" not in text


def test_only_what_is_present(shown, monkeypatch):
    monkeypatch.setattr(TinySource, "has_weights", lambda _self, name: name == "plain")
    text = shown("tiny", "--present")
    assert row(text, "tiny:plain").endswith("yes")
    assert "tiny:cnn" not in text


def test_the_list_as_json(shown):
    sources = {source["source"]: source for source in json.loads(shown("--json"))["sources"]}
    vgg16 = next(one for one in sources["keras"]["backbones"] if one["handle"] == "keras:VGG16")
    assert (vgg16["parameters"], vgg16["native_size"], vgg16["top1"]) == (14_714_688, 224, 71.3)
    assert sources["hub"]["backbones"] == []
    assert sources["hub"]["usage"].startswith("hub:<folder>")
    assert sources["tiny"]["backbones"][0]["groups"] is None


def test_one_backbone_with_its_groups(shown):
    text = shown("tiny:cnn")
    assert "licence     Apache-2.0" in text
    assert "pixels      x / 127.5 − 1, RGB" in text
    assert "takes       pictures, here 24×24×3" in text
    assert "size        made for 24×24 pixels, at least 16×16" in text
    assert "weights     on this machine" in text
    assert "groups at 24×24 pixels, input first:" in text
    # 4 × 8 × 9 + 8 of the convolution, 4 × 8 of batch norm, half of which are statistics
    assert row(text, "stage2.block1") == "stage2.block1 3 block1_conv … block1_relu 328 6×6×8 yes"
    assert "32 of the parameters are statistics of batch norm" in text


def test_vgg16_is_built_with_random_weights_where_its_own_are_not_here(shown, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    text = shown("keras:VGG16", "--image_size=32")
    assert "origin      keras.applications.VGG16, ImageNet-1k" in text
    assert "top-1       71.3 % on ImageNet-1k (keras.io" in text
    assert "weights     not on this machine; random ones are in the network below" in text
    assert "13 layer groups at 32×32 pixels" in text
    assert row(text, "stage3.block3 ") == "stage3.block3 2 block3_conv3 … block3_pool 590,080 4×4×256 yes"


def test_one_backbone_with_its_layers(shown):
    text = shown("tiny:cnn", "--layers")
    assert row(text, "stage2.block1 ") == "stage2.block1 3 328 6×6×8 yes"
    assert row(text, "  block1_conv ") == "block1_conv Conv2D 296 6×6×8"
    assert row(text, "  block1_bn ") == "block1_bn BatchNormalization 32 6×6×8"


def test_one_backbone_as_json(shown):
    found = json.loads(shown("tiny:cnn", "--json", "--image_size=32"))
    assert (found["handle"], found["image_size"], found["weights"]) == ("tiny:cnn", 32, "pretrained")
    assert sum(group["parameters"] + group["statistics"] for group in found["groups"]) == found["parameters"]
    assert found["groups"][-1]["output_shapes"] == [[4, 4, 8]]
    assert found["groups"][-1]["layers"][-1] == {
        "name": "block2_relu", "kind": "ReLU", "parameters": 0, "shape": [4, 4, 8],
    }  # fmt: skip


def test_an_architecture_of_torch_without_a_file_shows_its_groups(shown):
    text = shown("torch:resnet18", "--image_size=64")
    assert "weights     not on this machine" in text
    assert row(text, "stem ").startswith("stem ")
    assert row(text, "parameters ") == "parameters 11,186,112"


def test_a_file_is_opened_and_code_in_it_needs_consent(shown, capsys, tmp_path):
    import keras

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(2, 3, name="one")(pixels)
    x = keras.layers.Lambda(lambda y: y * 2, output_shape=(14, 14, 2))(x)
    x = keras.layers.Conv2D(2, 3, name="two")(x)
    keras.Model(pixels, x).save(tmp_path / "mine.keras")
    handle = f"file:{tmp_path / 'mine.keras'}#pixels=0..1"
    assert main(["backbones", handle]) == 1
    refusal = capsys.readouterr().err
    assert "is refused" in refusal
    assert "--allow_unsafe_model_code" in refusal
    assert "pixels      x / 255, RGB" in shown(handle, "--allow_unsafe_model_code")


def test_a_text_module_shows_what_it_takes(shown, tmp_path):
    import tensorflow as tf

    module = tf.train.Checkpoint()
    rows = tf.Variable(tf.ones([10, 4]), name="encoder/embeddings")
    module.__call__ = tf.function(
        lambda words: tf.gather(rows, tf.strings.to_hash_bucket_fast(words, 10)), [tf.TensorSpec([None], tf.string)]
    )
    module.variables = module.trainable_variables = [rows]
    tf.saved_model.save(module, str(tmp_path / "text"))
    text = shown(f"hub:{tmp_path / 'text'}")
    assert "takes       text: strings [batch]" in text
    assert "pixels      none" in text
    assert "size        –" in text
    assert "layer groups, input first:" in text
    assert "parameters  40" in text


def test_a_module_of_several_outputs_needs_the_name_of_one(shown, capsys, tmp_path):
    import tensorflow as tf

    kernel = tf.Variable(tf.ones([3, 3, 3, 4]), name="net/kernel")

    def call(images):
        maps = tf.nn.conv2d(images, kernel, 2, "SAME")
        return {"maps": maps, "means": tf.reduce_mean(maps, [1, 2])}

    module = tf.train.Checkpoint()
    module.__call__ = tf.function(call, [tf.TensorSpec([None, 32, 32, 3])])
    module.variables = module.trainable_variables = [kernel]
    tf.saved_model.save(module, str(tmp_path / "two"))
    handle = f"hub:{tmp_path / 'two'}"
    assert main(["backbones", handle]) == 2
    assert "maps" in capsys.readouterr().err
    assert row(shown(handle, "--output=maps"), "net ").endswith("108 16×16×4 yes")


def test_a_size_below_the_least_is_refused(capsys):
    assert main(["backbones", "keras:VGG16", "--image_size=16"]) == 2
    assert "image_size=16 is below the 32 pixels that keras:VGG16 needs" in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys):
    assert main(["backbones", "file:none.keras"]) == 1
    assert "none.keras" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_answered_in_one_line_and_ends_with_2(capsys, arguments, message):
    assert main(["backbones", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_mistakes_cost_no_tensorflow():
    code = (
        "import json, sys\nfrom tfxfer.cli.main import main\n"
        "codes = [main(['backbones', *words]) for words in json.load(sys.stdin)]\n"
        "print(json.dumps([codes, sorted({'tensorflow', 'keras'} & set(sys.modules))]))"
    )
    lines = json.dumps([arguments for arguments, _ in MISTAKES])
    done = subprocess.run(
        [sys.executable, "-c", code], input=lines, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [[2] * len(MISTAKES), []]


def test_the_help_names_the_flags(capsys):
    assert main(["backbones", "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("tfxfer backbones: list the pretrained networks")
    for flag in ("present", "json", "image_size", "layers", "allow_unsafe_model_code"):
        assert f"\n  --{flag}=" in page
    assert max(map(len, page.splitlines())) <= 120
