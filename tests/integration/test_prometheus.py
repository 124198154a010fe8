"""The counters of models as Prometheus scrapes them."""

from __future__ import annotations

import pytest

import pyembed

prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")


def test_scrape() -> None:
    from pyembed.integrations.prometheus import ModelCollector

    registry = prometheus_client.CollectorRegistry()
    model = pyembed.load_model(pyembed.demo_model())
    registry.register(ModelCollector({"demo": model}))
    model.embed([1, 2, 3])
    model.embed([4])

    def sample(name: str) -> float | None:
        return registry.get_sample_value(name, {"model": "demo"})

    assert sample("pyembed_gathers_total") == 2
    assert sample("pyembed_rows_total") == 4
    assert sample("pyembed_read_bytes_total") == 4 * 128 // 32 * 34
    assert sample("pyembed_written_bytes_total") == 4 * 128 * 4
    assert sample("pyembed_gather_seconds_total") == model.stats().seconds
    assert registry.get_sample_value("pyembed_process_major_faults_total") is not None
    assert b'pyembed_rows_total{model="demo"} 4.0' in prometheus_client.generate_latest(registry)
    model.close()
    assert sample("pyembed_gathers_total") is None


def test_models_that_change() -> None:
    from pyembed.integrations.prometheus import ModelCollector

    registry = prometheus_client.CollectorRegistry()
    models: dict[str, pyembed.Model] = {}
    registry.register(ModelCollector(lambda: models))
    with pyembed.load_model(pyembed.demo_model()) as model:
        models["new"] = model
        assert registry.get_sample_value("pyembed_gathers_total", {"model": "new"}) == 0
