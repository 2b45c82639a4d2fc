"""The ablation runs, in small: every step, its tables, numbers and pictures."""

import json
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHES))
    import ablation

    return ablation


def test_the_smoke_run_prints_tables_and_writes_numbers_and_pictures(ablation, tmp_path, monkeypatch, capsys):
    found = [
        {
            "data": "synthetic",
            "pairs": pairs,
            "method": "log odds",
            "ours": True,
            "setting": "",
            "values": {"R@10": 0.5},
            "intervals": {"R@10": [0.4, 0.6]},
            "seconds": 1.0,
        }
        for pairs in (50, 120)
    ]
    quality, numbers, pictures = tmp_path / "quality.json", tmp_path / "ablation.json", tmp_path / "pictures"
    quality.write_text(json.dumps(found))
    options = ["--smoke", "--json", str(numbers), "--plots", str(pictures), "--quality", str(quality)]
    monkeypatch.setattr(sys, "argv", ["ablation.py", *options])
    ablation.main()
    told = capsys.readouterr().out
    for header in ("| synthetic, 120 pairs | setting |", "| log odds | scale |", "| search of y | skewness |"):
        assert header in told
    assert {file.name for file in pictures.iterdir()} == {
        "calibration.png",
        "correlations.png",
        "ladder.png",
        "pairs.png",
    }
    assert all(file.stat().st_size > 10_000 for file in pictures.iterdir())
    results = json.loads(numbers.read_text())
    steps = {step["step"]: step for step in results["steps"]}
    assert steps["+ log odds"]["values"]["R@10"] > steps["textbook CSA"]["values"]["R@10"]
    before = None
    for step in results["steps"]:
        for name, (low, high) in step["intervals"].items():
            assert 0 <= low <= step["values"][name] <= high <= 1
        for name, gain in step["gains"].items():
            assert gain == pytest.approx(step["values"][name] - before["values"][name])
        before = before if step["beside"] else step
    assert [each["pairs"] for each in results["correlations"]] == [40, 40, 120, 120]
    assert len(results["calibration"]) == len(results["hubness"]) == 3


def test_a_file_of_other_data_gives_no_picture_of_them(ablation, tmp_path):
    import ablation_plots

    file = tmp_path / "quality.json"
    file.write_text("[]")
    with pytest.raises(SystemExit, match=r"holds none of log odds, .* for synthetic"):
        ablation_plots.draw_pairs(file, {"synthetic": 0.1}, tmp_path / "pairs.png")
