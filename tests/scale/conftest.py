"""Engines for many machines, on this one: `make test-scale` installs what these tests need."""

import logging
import os
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest


@pytest.fixture(scope="session")
def ray(own_cache: None) -> Iterator[Any]:
    """A Ray cluster: the one that RAY_ADDRESS names, or one of two processors on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra ray: make test-scale")
    pytest.importorskip("ray.data", reason="needs the extra ray: make test-scale")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    own = {} if "RAY_ADDRESS" in os.environ else {"address": "local", "num_cpus": 2, "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def spark(own_cache: None) -> Iterator[Any]:
    """Spark on this machine, with two workers."""
    sql = pytest.importorskip("pyspark.sql", reason="needs pyspark and Java: make test-scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        try:
            session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
        except Exception as error:
            pytest.skip(f"needs Java: make test-scale ({error})")
        yield session
        session.stop()
