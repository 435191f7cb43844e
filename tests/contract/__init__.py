"""Tests that every back end of an interface must pass; its own tests subclass them."""

import pytest

pytest.register_assert_rewrite("contract.storage")
