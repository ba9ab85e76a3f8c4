"""Config files and overrides become a recipe, or an answer that says which line or flag was wrong."""

import pathlib
import runpy

import pytest

from tfxfer import config, presets
from tfxfer.errors import ConfigError
from tfxfer.heads import MLP
from tfxfer.recipes import Recipe, Stage
from tfxfer.values import Change

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


def read(path, *texts: str) -> Recipe:
    """Reads a config with overrides written as `path=text`."""
    return config.read_recipe(path, [Change(*text.split("=", 1), f"--config.{text}") for text in texts])


def refusal(path, *texts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, *texts)
    return str(caught.value)


@pytest.fixture
def write(tmp_path):
    def write(body: str, name: str = "config.py") -> str:
        (tmp_path / name).write_text(f"from tfxfer import Recipe, Stage\n{body}", encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def two_stages(write) -> str:
    return write("def get_config():\n    return Recipe(stages=(Stage(epochs=1), Stage(train=2, epochs=3)))\n")


def test_without_a_file_the_recipe_is_the_default_one():
    assert read(None) == Recipe()
    assert read(None, "seed=7").seed == 7


def test_a_file_gives_its_recipe_and_knows_where_it_lies(write):
    path = write("import os\ndef get_config():\n    return Recipe(data='folder:' + os.path.dirname(__file__))\n")
    assert read(path).data.source == f"folder:{pathlib.Path(path).parent}"


def test_overrides_reach_into_the_file_s_recipe(two_stages):
    recipe = read(two_stages, "stages[1].epochs=9", "stages[0].learning_rate=1e-3", "data.resize=crop")
    assert recipe.stages == (Stage(epochs=1, learning_rate=0.001), Stage(train=2, epochs=9))
    assert recipe.data.resize == "crop"


def test_a_stage_of_epochs_can_become_one_of_steps(two_stages):
    recipe = read(two_stages, "stages[1].epochs=none", "stages[1].steps=100")
    assert recipe.stages[1] == Stage(train=2, steps=100)


def test_fractions_that_are_possible_together_may_come_in_any_order():
    for texts in (
        ("data.validation_fraction=0.85", "data.test_fraction=0.1"),
        ("data.test_fraction=0.1", "data.validation_fraction=0.85"),
    ):
        data = read(None, *texts).data
        assert (data.validation_fraction, data.test_fraction) == (0.85, 0.1)


def test_a_head_can_be_chosen_and_set(two_stages):
    assert read(two_stages, "head=MLP", "head.hidden=64,32", "head.dropout=0").head == MLP(hidden=(64, 32), dropout=0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("head", "head"), ("all", "all"), ("3", 3), ("0.25", 0.25), ("block9", "block9")],
)
def test_what_trains_is_read_as_the_name_count_or_share_that_it_is(two_stages, text, value):
    train = read(two_stages, f"stages[0].train={text}").stages[0].train
    assert train == value
    assert type(train) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "bach_size=8",
            "--config.bach_size=8: bach_size does not exist. Did you mean 'batch_size'?",
        ),
        (
            "stages[0].epoch=8",
            "--config.stages[0].epoch=8: stages[0].epoch does not exist. Did you mean 'epochs'?",
        ),
        (
            "xyz=8",
            "--config.xyz=8: xyz does not exist. Recipe has: data, backbone, head, stages, ",
        ),
        ("stages[2].epochs=8", "--config.stages[2].epochs=8: stages has no item [2]: it has 2, counted from 0."),
        ("stages.epochs=8", "--config.stages.epochs=8: stages is a list. Write stages[0].epochs for its first item."),
        ("stages[1].epochs=0", "--config.stages[1].epochs=0: Stage: epochs=0 must be at least 1."),
        (
            "stages[1].steps=5",
            "--config.stages[1].steps=5: Stage: epochs=3 and steps=5, but exactly one of the two must be given.",
        ),
        ("stages[0].warmup=much", "--config.stages[0].warmup=much: stages[0].warmup='much' is not a number."),
        ("image_size=big", "--config.image_size=big: image_size='big' is not a whole number or 'auto'."),
        ("image_size=8", "--config.image_size=8: Recipe: image_size=8 must be 16 to 2048 pixels."),
        ("stages=ulmfi", "--config.stages=ulmfi: stages='ulmfi' is not a list of Stage(…) or one of 'feature_"),
        ("data=photos", "--config.data=photos: data='photos' is not Data(…)."),
    ],
)
def test_an_override_that_does_not_fit_is_answered_with_the_flag(two_stages, text, message):
    assert refusal(two_stages, text).startswith(message)


def test_a_misspelt_preset_gets_the_nearest():
    assert refusal(None, "stages=ulmfi").endswith("Did you mean 'ulmfit'?")


def test_stages_that_the_rule_is_still_to_pick_cannot_be_overridden():
    assert refusal(None, "stages[1].epochs=3") == (
        "--config.stages[1].epochs=3: stages is 'auto' and has no item [1]. Give it as a list in a config file first."
    )


def test_a_file_that_is_not_there(tmp_path):
    path = str(tmp_path / "none.py")
    assert refusal(path) == f"the config file {path} cannot be read (No such file or directory)."


def test_a_folder_in_place_of_a_file(tmp_path):
    assert refusal(str(tmp_path)) == f"the config file {tmp_path} cannot be read (Is a directory)."


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "c.py").write_bytes(b"\xff\xfe\x00")
    assert refusal(str(tmp_path / "c.py")).endswith("cannot be read (not UTF-8 text).")


def test_a_file_without_the_function(write):
    path = write("recipe = Recipe()\n")
    assert refusal(path) == f"{path}: it has no function get_config(). Write: def get_config(): return Recipe(…)"


def test_a_function_that_returns_something_else(write):
    path = write("def get_config():\n    return {'seed': 1}\n")
    assert refusal(path) == f"{path}: get_config() returned a dict, expected a Recipe."


def test_an_exception_in_the_file_is_answered_with_its_line(write):
    path = write("def get_config():\n    size = 96\n    return Recipe(image_sise=size)\n")
    said = refusal(path)
    assert said.startswith(f"{path}, line 4: TypeError: ")
    assert "image_sise" in said


def test_a_syntax_error_is_answered_with_its_line(write):
    path = write("def get_config()\n    return Recipe()\n")
    assert refusal(path).startswith(f"{path}, line 2: SyntaxError: ")


def test_an_impossible_value_in_the_file_is_answered_as_everywhere(write):
    path = write("def get_config():\n    return Recipe(batch_size=0)\n")
    assert refusal(path) == f"{path}: Recipe: batch_size=0 must be 1 to 65536."


def test_there_are_configs_to_check():
    assert len(CONFIGS) >= 3


@pytest.fixture
def assets(tmp_path, monkeypatch) -> None:
    """Empty files in place of the weights and pictures that configs ask for; reading a recipe opens none."""
    monkeypatch.setenv("TFXFER_ASSETS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tool = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "tools" / "fetch_assets.py"))
    network = tmp_path / "runs" / "small_digits" / "bundle" / "model.keras"
    network.parent.mkdir(parents=True)
    for place in (tool["vgg16_hed_place"](), tool["fashion_place"](), network):
        place.touch()


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configs_that_we_ship_are_recipes_whose_docstring_gives_their_command(path):
    assert isinstance(config.read_recipe(str(path)), Recipe)
    command = "compare" if path.name.startswith("compare_") else "train"
    assert f"tfxfer {command} --config=configs/{path.name} --workdir=" in path.read_text(encoding="utf-8")


def test_stages_of_a_preset_can_be_changed_one_by_one():
    changes = [Change("stages", "full", ""), Change("stages[1].epochs", "3", "")]
    recipe = config.read_recipe(None, changes)
    assert [stage.epochs for stage in recipe.stages] == [presets.full()[0].epochs, 3]


def test_a_preset_of_random_weights_keeps_them_when_its_stages_are_written_out():
    changes = [Change("stages", "scratch", ""), Change("stages[0].epochs", "3", "")]
    assert config.read_recipe(None, changes).weights == "random"
