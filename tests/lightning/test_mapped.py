"""CSACallback with feature maps: one exact pass over mapped rows, and no resumption with other maps."""

import numpy as np
import passes
import pytest
import trainings

import canonsim
from canonsim.lightning import CSACallback
from canonsim.maps import Nystroem, RandomFourier, UnitLength


def maps(gamma=1.0):
    x, _ = passes.features()
    return {"x_map": Nystroem.of_rows(x, landmarks=20, gamma=gamma), "y_map": UnitLength(6)}


def assert_space_of_mapped_rows(space):
    x, y = passes.features()
    x_map, y_map = maps().values()
    moments = canonsim.PairedMoments(20, 6)
    moments.update(x_map(x), y_map(y), np.arange(passes.ROWS))
    expected = canonsim.fit(moments, x_map=x_map, y_map=y_map)
    assert space.ridge == expected.ridge
    np.testing.assert_allclose(space.similarity(x, y), expected.similarity(x, y), atol=1e-7)


def test_a_pass_counts_mapped_rows(tmp_path):
    callback = passes.predict(CSACallback(**maps(), dirpath=tmp_path))
    assert_space_of_mapped_rows(callback.space)
    assert_space_of_mapped_rows(canonsim.CanonicalSpace.from_pretrained(tmp_path))


def interrupt():
    raise InterruptedError


def test_a_stopped_pass_goes_on_with_the_same_maps_alone(tmp_path):
    with pytest.raises(InterruptedError):
        passes.predict(CSACallback(**maps(), dirpath=tmp_path, every_n_batches=3), passes.Stops(interrupt, 14))
    for other in ({}, maps(gamma=2.0)):
        with pytest.raises(ValueError, match=r"x_map was '.*' and is"):
            passes.predict(CSACallback(**other, dirpath=tmp_path), passes.Stops())
    callback = passes.predict(CSACallback(**maps(), dirpath=tmp_path), passes.Stops())
    assert callback.moments.count == passes.ROWS
    assert_space_of_mapped_rows(callback.space)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_training_resumes_with_the_same_maps_alone(tmp_path):
    towers = {"x_map": RandomFourier.draw(np.eye(5), 4), "y_map": UnitLength(4)}
    whole, _, _ = trainings.train(tmp_path, epochs=1, **towers)
    assert whole.space.x_map is towers["x_map"]
    assert whole.moments.x_dim == 9
    again, _, _ = trainings.train(tmp_path, epochs=1, resume=True, **towers)
    np.testing.assert_allclose(again.space.correlations, whole.space.correlations, atol=1e-9)
    with pytest.raises(ValueError, match="the checkpoint holds moments of features with another x_map"):
        trainings.train(tmp_path, resume=True, **{**towers, "x_map": RandomFourier.draw(np.eye(5), 4, seed=1)})


def test_what_is_no_map_is_refused():
    with pytest.raises(TypeError, match=r"y_map must be a feature map of canonsim\.maps, got 'unit-length'"):
        CSACallback(y_map="unit-length")
