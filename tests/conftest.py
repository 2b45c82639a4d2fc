"""Fixtures that several tests share."""

import pytest

from synthetic import related


@pytest.fixture
def pairs():
    return related()
