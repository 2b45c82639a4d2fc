"""The data module gives every row once, in order where it promises order, and says which row is broken."""

import pickle

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from canonsim.data import FeaturePairs, PairDataModule, PairDataset, TablePairs
from canonsim.encoders import Encoder

# Lightning advises on the number of workers, and calls torch's pytrees in a way that torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec:FutureWarning")

ROWS = np.random.default_rng(0).standard_normal((23, 4)).astype(np.float32)


def to_tensor(picture):
    return torch.from_numpy(np.asarray(picture, dtype=np.float32)).flatten() / 255


def length(text):
    return torch.tensor([float(len(text))])


def picture_encoder():
    return Encoder.from_module(torch.nn.Linear(12, 3), to_tensor, dim=3, kind="image")


def text_encoder():
    return Encoder.from_module(torch.nn.Identity(), length, dim=1, kind="text")


@pytest.fixture
def table(tmp_path):
    for row in range(11):
        Image.new("RGB", (2, 2), (row, 0, 0)).save(tmp_path / f"{row}.png")
    lines = "".join(f"{row}.png,{'a' * (row + 1)}\n" for row in range(11))
    (tmp_path / "pairs.csv").write_text(f"path,caption\n{lines}")
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_hold_every_row_once_in_order(table, num_workers):
    data = PairDataModule(TablePairs(table), picture_encoder(), text_encoder(), batch_size=4, num_workers=num_workers)
    batches = list(data.predict_dataloader())
    assert [len(batch["index"]) for batch in batches] == [4, 4, 3]
    index = torch.cat([batch["index"] for batch in batches])
    assert index.dtype == torch.int64
    assert index.tolist() == list(range(11))
    assert torch.cat([batch["y"] for batch in batches]).flatten().tolist() == list(range(1, 12))
    red = torch.cat([batch["x"] for batch in batches])[:, 0] * 255
    torch.testing.assert_close(red, torch.arange(11.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ready_features_are_stacked_in_their_precision(dtype):
    rows = torch.from_numpy(ROWS).to(dtype)
    batch = next(iter(PairDataModule(FeaturePairs(rows, ROWS)).predict_dataloader()))
    assert batch["x"].dtype == dtype
    torch.testing.assert_close(batch["x"], rows)
    torch.testing.assert_close(batch["y"], torch.from_numpy(ROWS))


def test_training_batches_are_shuffled_and_whole():
    data = PairDataModule(FeaturePairs(ROWS, ROWS), batch_size=5)
    torch.manual_seed(0)
    index = torch.cat([batch["index"] for batch in data.train_dataloader()]).tolist()
    assert index != list(range(23))
    assert sorted(index) == list(range(23))


def test_selected_rows_keep_their_numbers_in_batches():
    data = PairDataModule(FeaturePairs(ROWS, ROWS).select([9, 4, 20]))
    assert next(iter(data.predict_dataloader()))["index"].tolist() == [9, 4, 20]


class Recorder(LightningModule):
    def __init__(self):
        super().__init__()
        self.rows = []

    def predict_step(self, batch, batch_idx):
        self.rows += batch["index"].tolist()
        return batch["index"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_trainer_sees_every_row_once_in_order(tmp_path, num_workers):
    np.save(tmp_path / "rows.npy", ROWS)
    data = PairDataModule(FeaturePairs(tmp_path / "rows.npy", ROWS), batch_size=5, num_workers=num_workers)
    model = Recorder()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.predict(model, datamodule=data, return_predictions=False)
    assert model.rows == list(range(23))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_file_is_one_clear_line_that_names_row_and_file(table, num_workers):
    path = table.parent / "6.png"
    path.write_bytes(path.read_bytes()[:40])
    data = PairDataModule(TablePairs(table), picture_encoder(), text_encoder(), batch_size=4, num_workers=num_workers)
    with pytest.raises(ValueError, match=r"row 6 of x: .*6.png") as caught:
        list(data.predict_dataloader())
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_vanished_is_named_with_its_row(table, num_workers):
    pairs = TablePairs(table)
    (table.parent / "9.png").unlink()
    data = PairDataModule(pairs, picture_encoder(), text_encoder(), num_workers=num_workers)
    with pytest.raises(FileNotFoundError, match=r"row 9 of x: .*9.png: no such picture"):
        list(data.predict_dataloader())


def test_an_error_under_the_trainer_reaches_the_user(table):
    (table.parent / "6.png").write_bytes(b"")
    data = PairDataModule(TablePairs(table), picture_encoder(), text_encoder(), num_workers=2)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    with pytest.raises(ValueError, match=r"^row 6 of x: .*6.png \(0 bytes\) is no picture"):
        trainer.predict(Recorder(), datamodule=data, return_predictions=False)


def test_rows_that_only_together_do_not_fit_are_named_as_a_range(tmp_path):
    for row, size in enumerate([2, 2, 3]):
        Image.new("RGB", (size, size)).save(tmp_path / f"{row}.png")
    (tmp_path / "pairs.csv").write_text("path,caption\n0.png,a\n1.png,b\n2.png,c\n")
    data = PairDataModule(TablePairs(tmp_path / "pairs.csv"), picture_encoder(), text_encoder())
    with pytest.raises(ValueError, match=r"one of the rows 0 to 2 of x: preprocess gave tensors of different shapes"):
        list(data.predict_dataloader())


def test_what_goes_to_spawned_workers_pickles_without_the_weights(table):
    encoder = Encoder.from_module(torch.nn.Linear(12, 100_000), to_tensor, dim=100_000, kind="image")
    loader = PairDataModule(TablePairs(table), encoder, text_encoder(), num_workers=2).predict_dataloader()
    content = pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn))
    assert len(content) < 5_000
    pairs, collate, _ = pickle.loads(content)
    assert collate([pairs[3], pairs[8]])["index"].tolist() == [3, 8]


def test_encoders_must_fit_the_pairs(table):
    pairs = TablePairs(table)
    with pytest.raises(ValueError, match="x holds image: x_encoder is needed"):
        PairDataModule(pairs, None, text_encoder())
    with pytest.raises(ValueError, match="y holds text, but y_encoder takes image"):
        PairDataModule(pairs, picture_encoder(), picture_encoder())
    with pytest.raises(TypeError, match="pairs must be a PairDataset, got list"):
        PairDataModule([1, 2])
    for numbers in ({"batch_size": 0}, {"num_workers": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(numbers))} must"):
            PairDataModule(FeaturePairs(ROWS, ROWS), **numbers)


class Broken(PairDataset):
    x_kind = y_kind = "text"

    def __len__(self):
        return 3

    def __getitem__(self, row):
        row = self.check_row(row)
        return {"x": "one" if row else None, "y": "two", "index": row}


def test_items_of_a_wrong_type_are_named_with_their_row():
    def no_text(text):
        if not isinstance(text, str):
            raise TypeError("no text")
        return length(text)

    encoder = Encoder.from_module(torch.nn.Identity(), no_text, dim=1, kind="text")
    with pytest.raises(TypeError, match="row 0 of x: no text"):
        list(PairDataModule(Broken(), encoder, encoder).predict_dataloader())
