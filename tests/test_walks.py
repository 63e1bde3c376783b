"""How far one has to read for a training step, see `tools/walks.py`."""

from pathlib import Path

from support.processes import running

WALKS = Path(__file__).parent.parent / "tools" / "walks.py"


def test_a_training_step_passes_few_files_and_none_twice():
    with running("import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", WALKS) as process:
        ended = process.ended()
        assert ended == 0, process.printed + process.errors
        assert "a step in at most 20 files, none of which call each other: yes" in process.printed
