from types import SimpleNamespace

import pytest

from studies.fakes import FakeRun


@pytest.fixture
def fake_run(monkeypatch):
    """Replaces training and loading; the backbones that were loaded are in `loaded`."""
    import softprompt.backbones as backbones
    import softprompt.studies.running.execution as execution

    fake = FakeRun()

    def load_backbone(name, dtype=None, device=None, *, attention=None, image_size=None, shard=False):
        model = SimpleNamespace(weights=name, parameters=lambda: iter(()))
        backbone = SimpleNamespace(model=model, spec=SimpleNamespace(fingerprint=name, earlier=frozenset()))
        fake.loaded.append(name)
        return backbone

    monkeypatch.setattr(execution, "train", fake)
    monkeypatch.setattr(backbones, "load_backbone", load_backbone)
    monkeypatch.setattr(backbones, "fingerprint", lambda model: model.weights)
    return fake
