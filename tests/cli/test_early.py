"""What can be known without TensorFlow is refused before it is loaded, which takes seconds."""

import pytest

from tfxfer import data, files, folders
from tfxfer.cli import quiet
from tfxfer.cli.main import main
from tfxfer.errors import BundleError, DataError, WorkdirError
from tfxfer.recipes import Data

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with a table, a run, its bundle, and something else; in it TensorFlow is not to be loaded."""

    def loaded(*_):
        raise AssertionError("TensorFlow is loaded")

    monkeypatch.setattr(quiet, "load_tensorflow", loaded)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("image,label,size\na.jpg,cat,3\n")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    files.write_json(tmp_path / "run" / "bundle" / "bundle.json", {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    return tmp_path


TRAIN = ["train", "--workdir=new"]
BUNDLE = "--bundle=run/bundle"
NUMBERS = ["--data=csv:t.csv", "--label_column=size", "--task=regression"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([*TRAIN, "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        ([*TRAIN, "--data=csv:none.csv"], 1, "none.csv cannot be read"),
        ([*TRAIN, "--data=parquet:none.parquet"], 1, "none.parquet cannot be read"),
        ([*TRAIN, "--data=npz:none.npz"], 1, "none.npz cannot be read"),
        ([*TRAIN, "--data=tfrecord:none*"], 1, "matches no file"),
        ([*TRAIN, "--data=csv:t.csv", "--label_column=breed"], 1, "t.csv has no column 'breed'"),
        (["train", "--data=folder:photos", "--workdir=t.csv"], 1, "t.csv exists and is no run of tfxfer"),
        (["train", "--data=folder:photos", "--workdir=other"], 1, "other exists and is no run of tfxfer"),
        ([*TRAIN, "--data=folder:photos", "--resume=must"], 1, "new has no run that could go on"),
        ([*TRAIN, *NUMBERS, "--config.imbalance.class_weights=inverse"], 2, "class_weights=inverse is about classes"),
        ([*TRAIN, *NUMBERS, "--stages=partial", "--config.stages[0].label_smoothing=0.1"], 2, "label_smoothing, which"),
        ([*TRAIN, *NUMBERS, "--loss=categorical_hinge"], 2, "loss='categorical_hinge' is of task=single_label"),
        ([*TRAIN, "--data=folder:photos", "--metrics=rmse"], 2, "metrics='rmse' is of task=regression"),
        (["plan", "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        (["lr-find", "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        (["advise", "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        (["data", "show", "--data=folder:nowhere", "--output=x.png"], 1, "the folder nowhere does not exist"),
        (["evaluate", "--bundle=nowhere"], 1, "nowhere is no bundle: it has no bundle.json"),
        (["evaluate", "--bundle=run"], 1, "Did you mean run/bundle?"),
        (["evaluate", BUNDLE, "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        (["evaluate", BUNDLE, "--data=csv:none.csv"], 1, "none.csv cannot be read"),
        (["evaluate", BUNDLE, "--output=t.csv/x.json"], 1, "t.csv cannot be written"),
        (["evaluate", BUNDLE, "--allow_unsafe_model_code=perhaps"], 2, "is neither true nor false"),
        (["predict", "--bundle=run", "a.jpg"], 1, "Did you mean run/bundle?"),
        (["export", "--bundle=run"], 1, "Did you mean run/bundle?"),
        (["export", BUNDLE], 1, "run/bundle exists and is not overwritten"),
        (["export", BUNDLE, "--output=other", "--overwrite"], 1, "other is no bundle, and only a bundle is replaced"),
        (["export", BUNDLE, "--overwrite", "--data=folder:nowhere"], 1, "the folder nowhere does not exist"),
        (["export", BUNDLE, "--overwrite", "--label_column=x"], 2, "--label_column is of a table, and --data names"),
        (["export", BUNDLE, "--overwrite", "--allow_unsafe_model_code=perhaps"], 2, "is neither true nor false"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_refused_before(arguments, code, message, capsys, place):
    assert main(arguments) == code
    assert message in capsys.readouterr().err
    assert not (place / "new").exists()


def test_a_finished_run_needs_no_data(place):
    from tfxfer import checks, recipes, values

    recipe = recipes.Recipe(data="folder:nowhere")
    files.write_json(place / "run" / "recipe.json", values.to_json(recipe))
    checks.check_run(recipe, place / "run")
    (place / "run" / "bundle" / "bundle.json").unlink()
    with pytest.raises(DataError, match="the folder nowhere does not exist"):
        checks.check_run(recipe, place / "run")


def test_columns_are_looked_for_only_where_their_names_are_known(place):
    data.check_there(Data(source="csv:t.csv", label_column="breed"), columns=False)
    with pytest.raises(DataError, match="no column 'breed'"):
        data.check_there(Data(source="csv:t.csv", label_column="breed"))


def test_folders_say_what_they_are(place):
    folders.check_bundle(place / "run" / "bundle")
    folders.check_target(place / "run" / "bundle", overwrite=True)
    with pytest.raises(BundleError, match="is no bundle"):
        folders.check_bundle(place / "t.csv")
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        files.check_new(place / "t.csv", overwrite=False)
    files.check_new(place / "t.csv", overwrite=True)
