import sys

import pytest

from softprompt.errors import BackboneError


def test_list_names_every_bundled_backbone(softprompt, monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTPROMPT_HOME", str(tmp_path))
    result = softprompt("backbones", "list")
    assert result.code == 0
    assert "smollm2-135m" in result.out and "minilm-l6" in result.out
    assert str(tmp_path) not in result.out


def test_pull_of_an_unknown_name_gives_the_nearest(softprompt):
    result = softprompt("backbones", "pull", "smolm2-135m")
    assert result.code == 1
    assert "Did you mean 'smollm2-135m'?" in result.err


def test_pull_tells_where_it_lies(softprompt, monkeypatch, tmp_path):
    from softprompt import backbones

    asked = []

    def pull(name, progress, agree):
        asked.append(name)
        progress("checking")
        return tmp_path / name

    monkeypatch.setattr(backbones, "pull_bundled", pull)
    result = softprompt("backbones", "pull", "all")
    assert result.code == 0
    assert asked == list(backbones.BUNDLED_NAMES)
    assert f"smollm2-135m: {tmp_path / 'smollm2-135m'}" in result.out
    assert "smollm2-135m: checking" in result.err


@pytest.mark.parametrize(
    ("flags", "setting", "at_terminal", "code"),
    [((), "", False, 1), (("--agree",), "", False, 0), ((), "gemma3-270m", False, 0), ((), "", True, 0)],
)
def test_pull_shows_the_terms_and_asks(softprompt, monkeypatch, tmp_path, flags, setting, at_terminal, code):
    import typer

    from softprompt import backbones

    def pull(name, progress, agree):
        if not agree("You may use it."):
            raise BackboneError("backbone", "no agreement", "your agreement")
        return tmp_path

    monkeypatch.setattr(backbones, "pull_bundled", pull)
    monkeypatch.setattr(typer, "confirm", lambda text, err: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: at_terminal, raising=False)
    monkeypatch.setenv("SOFTPROMPT_AGREE", setting)
    result = softprompt("backbones", "pull", "gemma3-270m", *flags)
    assert result.code == code
    assert "You may use it." in result.err
    assert ("no agreement" in result.err) == bool(code)
