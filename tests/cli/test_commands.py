"""The commands on ready features, and what they say of bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

import canonsim
from canonsim.cli import main
from synthetic import related


@pytest.fixture
def features(tmp_path):
    x, y = related(n=900)
    for name, side, rows in (
        ("x", x, slice(700)),
        ("y", y, slice(700)),
        ("test_x", x, slice(700, None)),
        ("test_y", y, slice(700, None)),
    ):
        np.save(tmp_path / f"{name}.npy", side[rows].astype(np.float32))
    return tmp_path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_fit_and_evaluate(features, capsys):
    model = features / "model"
    assert run("fit", features / "x.npy", features / "y.npy", "-o", model) == 0
    printed = capsys.readouterr().out
    assert "700 pairs" in printed
    assert "held out" in printed
    space = canonsim.CanonicalSpace.from_pretrained(model)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(np.load(features / "x.npy"), np.load(features / "y.npy"))
    np.testing.assert_allclose(space.correlations, canonsim.fit(moments).correlations, atol=1e-9)
    assert space.metadata["data"] == ["x.npy", "y.npy"]

    assert run("evaluate", model, features / "test_x.npy", features / "test_y.npy", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["pairs"] == 200
    assert numbers["log odds"]["chance"]["R@10"] == pytest.approx(0.05)
    assert numbers["log odds"]["mean"]["R@10"] > 0.5
    assert numbers["log odds"]["mismatch_auc"] > 0.9
    assert set(numbers["log odds"]["hubness"]["x_to_y"]) == {"skewness", "anti_hubs", "top_share"}
    assert numbers["log odds"]["hubness"]["chance"]["anti_hubs"] == pytest.approx(0.95**200)
    assert run("evaluate", model, features / "test_x.npy", features / "test_y.npy") == 0
    assert "chance" in capsys.readouterr().out


def test_options_of_the_fit(features):
    model = features / "model"
    arguments = ("--ridge", "0.5,2", "--components", "3", "--weights", "training", "--folds", "1")
    assert run("fit", features / "x.npy", features / "y.npy", "-o", model, *arguments) == 0
    space = canonsim.CanonicalSpace.from_pretrained(model)
    assert (space.ridge, space.n_components, space.weighting) == ((0.5, 2.0), 3, "training")
    assert space.held_out_correlations is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "{}/none.npy", "{}/y.npy", "-o", "{}/m"], "no such file"),
        (["fit", "{}/test_x.npy", "{}/y.npy", "-o", "{}/m"], "200 rows"),
        (["fit", "{}/x.npy", "-o", "{}/m"], "DATA is"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--ridge", "much"], "--ridge"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--ridge", "-1"], "ridge must be"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--components", "few"], "--components"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--components", "99"], "smaller width, 8"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--folds", "1"], "--folds 1 holds nothing out"),
        (["fit", "{}/x.npy", "{}/y.npy", "-o", "{}/m", "--x-encoder", "eyes"], "ready features"),
        (["fit", "{}/bad.npy", "{}/y.npy", "-o", "{}/m"], "row 3"),
        (["fit", "{}/integers.npy", "{}/y.npy", "-o", "{}/m"], "int64"),
        (["fit", "{}/pickled.npy", "{}/y.npy", "-o", "{}/m"], "pickled.npy"),
        (["fit", "{}/table.csv", "-o", "{}/m"], "--x KIND:COLUMN"),
        (["fit", "{}/table.csv", "--x", "text:a", "--y", "text:c", "-o", "{}/m"], "'c'"),
        (["fit", "{}/table.csv", "--x", "text:a", "--y", "text:b", "-o", "{}/m"], "--x-encoder is missing"),
        (["evaluate", "{}/none", "{}/x.npy", "{}/y.npy"], "no canonical space"),
        (["search", "{}/none", "{}", "words"], "no canonical space"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, features, capsys):
    bad = np.load(features / "x.npy")
    bad[3, 0] = np.nan
    np.save(features / "bad.npy", bad)
    np.save(features / "integers.npy", np.zeros((700, 12), int))
    np.save(features / "pickled.npy", np.full((700, 12), None), allow_pickle=True)
    (features / "table.csv").write_text("a,b\none,eins\ntwo,zwei\n")
    assert main([argument.format(features) for argument in arguments]) == 2
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert message in line
    assert line.startswith(f"canonsim {arguments[0]}: ")
    assert "Traceback" not in captured.err
    assert not (features / "m").exists()


def test_a_model_of_features_cannot_search(features, capsys):
    assert run("fit", features / "x.npy", features / "y.npy", "-o", features / "model") == 0
    assert run("search", features / "model", features, "words") == 2
    assert "no text side" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "evaluate", "search", "demo"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"canonsim {command} " in capsys.readouterr().out.split("example")[1]


def test_usage_errors_are_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "x.npy"])
    assert stopped.value.code == 2
    assert "-o" in capsys.readouterr().err


def test_the_program_is_installed():
    told = subprocess.run([sys.executable, "-m", "canonsim", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"canonsim {canonsim.__version__}\n"
