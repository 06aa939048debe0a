"""Slow tests with several processes, which `make test-scale` runs and `make test` does not."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [str(argument) for argument in config.args]
    return None if any("scale" in argument for argument in asked) else True
