"""Fixtures that several tests share."""

import pytest
from hypothesis import settings

from canonsim import _native
from synthetic import related

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def pairs():
    return related()


@pytest.fixture
def restored_threads():
    """The default number of threads, also after a test that sets it."""
    _native.set_num_threads(0)
    yield
    _native.set_num_threads(0)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A function from the name of a model to the folder where it is saved."""
    import torch

    from tiny_models import MODELS

    folders = {}

    def save(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            for part in MODELS[name]():
                part.save_pretrained(folders[name])
        return folders[name]

    return save
