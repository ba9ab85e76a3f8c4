"""Labels in a table, from the shell: trained on, planned with, measured on."""

import csv
import pathlib
import subprocess
import sys

import pytest

from tfxfer.cli.main import main

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def here(colours, tmp_path, monkeypatch) -> pathlib.Path:
    """The folder that the test is in, with a table of the three colours: 20 of each, in groups of two."""
    monkeypatch.chdir(tmp_path)
    with open("labels.csv", "w", newline="") as stream:
        table = csv.writer(stream, delimiter=";")
        table.writerow(["photo", "hue", "group"])
        for index, path in enumerate(sorted(colours.rglob("*.png"))):
            table.writerow([path, path.parent.name, f"shoot {index // 2}"])
    return tmp_path


COLUMNS = ("--image_column=photo", "--config.data.label_column=hue")


def said(capsys) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())  # where a line ends depends on the length of a path


def test_train_then_evaluate_on_the_same_table_and_on_another(here, capsys, keras_alone):
    assert (
        main(["train", "--data=csv:labels.csv", *COLUMNS, "--backbone=tiny:cnn", "--workdir=run", "--stages=full"]) == 0
    )
    text = said(capsys)
    assert (
        "csv:labels.csv: 42 train, 6 validation, 12 test (by hash of the column 'group', 30 groups, with seed 0" in text
    )
    assert "on 12 examples" in text
    assert main(["evaluate", "--bundle=run/bundle"]) == 0
    assert "on 12 examples" in said(capsys)
    assert main(["evaluate", "--bundle=run/bundle", "--data=csv:labels.csv"]) == 0  # with the columns it was trained by
    assert "on 60 examples" in said(capsys)
    pathlib.Path("new.csv").write_text(pathlib.Path("labels.csv").read_text().replace("hue", "colour"))
    assert main(["evaluate", "--bundle=run/bundle", "--data=csv:new.csv"]) == 1
    assert "new.csv has no column 'hue'. Columns: 'photo', 'colour', 'group'." in said(capsys)
    assert main(["evaluate", "--bundle=run/bundle", "--data=csv:new.csv", "--label_column=colour"]) == 0
    assert "on 60 examples" in said(capsys)


def test_plan_says_what_is_drawn_from_a_table(here, capsys):
    from pyarrow import csv as tables
    from pyarrow import parquet

    parquet.write_table(
        tables.read_csv("labels.csv", parse_options=tables.ParseOptions(delimiter=";")), "labels.parquet"
    )
    flags = (*COLUMNS, "--backbone=tiny:cnn", "--config.data.examples_per_class=5", "--config.data.group_column=none")
    assert main(["plan", "--data=parquet:labels.parquet", *flags]) == 0
    text = said(capsys)
    assert (
        "parquet:labels.parquet: 15 train, 6 validation, 12 test (by content hash with seed 0, stratified; 5 " in text
    )
    assert "training examples of each class drawn by content hash with seed 0, of 42)" in text
    assert sorted(path.name for path in here.iterdir()) == ["labels.csv", "labels.parquet"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["plan", "--data=csv:labels.csv"],
            1,
            "labels.csv has the columns 'photo', 'hue', 'group', none of them called image, path, file or filename. "
            "Say which holds the paths: --image_column=photo.",
        ),
        (
            ["plan", "--data=folder:photos", "--label_column=hue"],
            2,
            "--label_column=hue: Data: label_column='hue' is of csv: and parquet:, and the source is folder:photos.",
        ),
        (
            ["evaluate", "--bundle=x", "--label_column=hue"],
            2,
            "--label_column is of a table, and --data names none. Write it with --data=csv:labels.csv.",
        ),
        (["evaluate", "--bundle=x", "--data=labels.csv"], 2, "write csv:labels.csv for a table"),
        (["plan", "--data=csv:labels.csv", "--config.data.group_by=("], 2, "group_by='(' is no regular expression"),
    ],
)
def test_mistakes_with_tables(here, capsys, arguments, code, message):
    assert main(arguments) == code
    assert message in said(capsys)


def test_mistakes_with_columns_are_answered_without_tensorflow(here):
    code = "import sys; from tfxfer.cli.main import main; main(sys.argv[1:]); print('tensorflow' in sys.modules)"
    words = ["plan", "--data=folder:photos", "--label_column=hue"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_weights_and_rare_classes_from_the_shell(here, capsys, keras_alone):
    rows = pathlib.Path("labels.csv").read_text().splitlines()
    table = [f"{row};{'weight' if number == 0 else 1 + number % 3}" for number, row in enumerate(rows)]
    pathlib.Path("weighed.csv").write_text("\n".join(row for row in table if "blue/01" not in row))
    command = ["train", "--data=csv:weighed.csv", *COLUMNS, "--backbone=tiny:cnn", "--stages=feature_extraction"]
    asked = ["--config.imbalance.logit_adjustment=1", "--config.imbalance.focal_gamma=2"]
    assert main([*command, "--workdir=run", *asked]) == 0
    text = said(capsys)
    assert "weights examples count 0." in text
    assert "imbalance focal loss, gamma 2" in text
    assert "balanced accuracy" in text
    assert "macro F1" in text
    assert main([*command, "--workdir=run", "--config.imbalance.logit_adjustment=0.5"]) == 1
    assert "imbalance.logit_adjustment: 1.0 → 0.5" in said(capsys)
    assert main(["plan", *command[1:], *asked, "--config.imbalance.sampling=balanced"]) == 2
    assert "correct them twice" in said(capsys)
    assert main(["evaluate", "--bundle=run/bundle"]) == 0  # the same examples, weights and all
