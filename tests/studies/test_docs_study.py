"""The study of docs/studies.md as it stands."""

import re
from pathlib import Path

from softprompt.studies.reading.grid import load_grid

ROOT = Path(__file__).parent.parent.parent


def test_it_can_run_and_its_columns_differ(tmp_path):
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    base = (ROOT / "recipes" / "e2e-lowdata-prefix.yaml").as_posix()
    path = tmp_path / "study.yaml"
    path.write_text(text.replace("../e2e-lowdata-prefix.yaml", base), encoding="utf-8")
    runs = list(load_grid(path).runs)
    methods = [run.settings.method for run in runs]
    assert {method.reparameterization for method in methods} == {"mlp", None}
    # `examples:k` says the length itself, and would refuse every other.
    assert {method.length for method in methods} == {1, 5, 20}
    assert {method.initialization for method in methods} == {"vocabulary"}
    # Each column is trained at the rate of its own method.
    assert {run.settings.training.learning_rate for run in runs} == {None}
