"""The page of a report: whole by itself, readable by everyone, and right in a real browser."""

import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest

from softprompt.plotting.style import DARK, LIGHT
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import Source, compose_report, page
from softprompt.studies.report.render import environment
from softprompt.studies.results.study_result import read_results
from studies.fakes import finish, write_study
from support.browser import Browser, missing

NASTY = '<script>alert("x")</script> & <b>'
ROWS = [
    {"name": f"full {NASTY}", "set": {"method": {"name": "fine_tuning"}}},
    {"name": "a prefix with a name that is rather long for a telephone", "set": {"method.length": 2}},
    {"name": "prompt tuning", "set": {"method": {"name": "prompt_tuning", "length": 3}}},
]
COLUMNS = [{"name": "E2E", "show": ["bleu", "ter"]}, *({"name": n} for n in ("WebNLG", "DART", "SciTLDR"))]
PUBLISHED = [
    {"row": "prompt tuning", "column": "E2E", "value": 69.7, "source": "arXiv v1, Table 1", "sure": "M"}
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Three rows in four columns with texts, curves, published figures and a run that is missing."""
    folder = tmp_path_factory.mktemp("page")
    seeds = {"seeds": [0, 1, 2], "wins": True, "paired": True, "published": PUBLISHED}
    grid = load_grid(write_study(folder, rows=ROWS, columns=COLUMNS, **seeds))
    for i, run in enumerate(grid.runs):
        if i == 4:
            continue
        place = finish(run.settings, {"bleu": 40.0 + i % 7, "ter": 50.0 - i % 5}, stored=1000 * (1 + i // 12))
        for step in (1, 2, 3):
            place.append({"kind": "evaluation", "step": step, "loss": 5.0 - step})
        lines = [
            {"id": f"e2e-{k}", "source": f"name : Mill {k} | near : {NASTY}", "references": ["A mill."],
             "output": f"Mill {k} of {run.label} {NASTY} {'very' * 40}"}
            for k in range(3)
        ]  # fmt: skip
        place.outputs.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return compose_report(Source(read_results(grid), "softprompt study s.yaml"), "softprompt report s.yaml")


@pytest.fixture(scope="module")
def text(report):
    return page(report)


class Reader(HTMLParser):
    """Checks that every tag is closed where it was opened, and gathers what the tests ask about."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.headings, self.said = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data):
        self.said.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_it_asks_for_nothing(read, text):
    for tag, attributes in read.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"@import|url\((?!#)", text)
    (policy,) = [m["content"] for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_everyone_can_read_it(read):
    assert read.all("html")[0]["lang"] == "en" and read.headings[0] == 1 and read.headings.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(read.headings, read.headings[1:], strict=False))
    assert all(th["scope"] in ("row", "col", "colgroup") for th in read.all("th")) and read.all("th")
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    for attributes in (a for _, a in read.tags):
        for name in ("aria-labelledby", "href"):
            target = attributes.get(name, "")
            if (name == "aria-labelledby" and target) or target.startswith("#"):
                assert target.removeprefix("#") in names
    pictures = [a for _, a in read.tags if a.get("role") == "img"]
    assert len(pictures) == len(read.all("figure")) == 3 and all(p["aria-label"] for p in pictures)
    assert len(read.all("img")) == 6 and all(image["alt"] == "" for image in read.all("img"))
    assert len(read.all("caption")) == len(read.all("table"))
    assert all(a["tabindex"] == "0" and a["aria-label"] for _, a in read.tags if a.get("role") == "region")


def test_what_stands_in_names_and_texts_is_text(read, text):
    assert NASTY not in text and "<b>" not in text
    assert len(read.all("script")) == 1
    assert any(f"full {NASTY}" == said for said in read.said)


def test_everything_is_there(report, read, text):
    said = "".join(read.said)
    assert "What is missing" in said and report.missing[0] in said
    assert "69.7 [M]" in said and "from memory, not verified" in said
    for name in ("results", "figures", "comparisons", "outputs", "settings", "runs", "again"):
        assert f'<section id="{name}"' in text
    commands = [line for line in read.said if line.startswith("softprompt train ")]
    runs = [run for cell in report.result.all_cells for run in cell.runs]
    assert len(commands) == len(runs) == 36
    named = {word for line in commands for word in shlex.split(line) if word.startswith("name=")}
    assert named == {f"name={run.run.settings.name}" for run in runs}
    assert "softprompt study s.yaml" in said and "softprompt report s.yaml" in said
    assert "method.length" in said and "training.learning_rate" in said
    assert "x86_64, 2 cores" in said and "torch 2.6" in said


def test_settings_are_either_shared_or_a_run_s_own(report, text):
    shared = text[text.index('<section id="settings"') : text.index('<section id="runs"')]
    own = text[text.index('<section id="runs"') :]
    assert "<code>training.steps</code>" in shared and "<code>training.steps</code>" not in own
    assert "<code>training.seed</code>" in own and "<code>training.seed</code>" not in shared
    assert "<code>output</code>" not in text


def test_a_list_with_an_odd_backtick_stays_a_text():
    part: Any = environment().get_template("macros.html.j2").module
    assert part.listed(["a `b` c `d"]).strip() == "<ul><li>a `b` c `d</li></ul>"
    assert part.listed(["a `b` <c"]).strip() == "<ul><li>a <code>b</code> &lt;c</li></ul>"


# -- in a browser --------------------------------------------------------------------------------------

MEASURED = """(() => {
  const root = document.documentElement, found = {width: innerWidth, scroll: root.scrollWidth};
  found.figures = [...document.querySelectorAll("figure img")].map((image) => {
    const box = image.getBoundingClientRect();
    return [box.left, box.right, box.width, box.height];
  }).filter((box) => box[2] > 0);
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  found.opened = root.scrollWidth;
  return found;
})()"""

LOOK = """(() => {
  const button = document.getElementById("theme");
  const seen = [...document.querySelectorAll("figure img")].filter((one) => one.offsetWidth > 0);
  const corner = (image) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 2;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, -4, -4);
    return `rgb(${[...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(", ")})`;
  };
  return {
    ground: getComputedStyle(document.body).backgroundColor,
    letters: getComputedStyle(document.body).color,
    figures: [...new Set(seen.map(corner))],
    pressed: button.getAttribute("aria-pressed"), says: button.textContent,
    seen: button.getBoundingClientRect().width > 0,
  };
})()"""

CLICK = 'document.getElementById("theme").click()'


def rgb(color):
    return "rgb({}, {}, {})".format(*(int(color[i : i + 2], 16) for i in (1, 3, 5)))


def look(palette, pressed, says):
    return {
        "ground": rgb(palette.ground), "letters": rgb(palette.ink), "figures": [rgb(palette.ground)],
        "pressed": pressed, "says": says, "seen": True,
    }  # fmt: skip


AS_LIGHT, AS_DARK = look(LIGHT, "false", "Dark"), look(DARK, "true", "Light")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("opened") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.mark.skipif(bool(missing()), reason=f"the page is only read, not opened: {missing()}")
class TestBrowser:
    @pytest.mark.parametrize("width", [1280, 390])
    def test_nothing_sticks_out_and_every_figure_is_seen(self, report, browser, address, width):
        page = browser.open(address, width)
        found = page.evaluate(MEASURED)
        assert page.said == [] and [a for a in page.asked if not a.startswith("data:")] == [address]
        assert found["width"] == width and found["scroll"] <= width and found["opened"] <= width
        assert len(found["figures"]) == len(report.figures) == 3
        for left, right, across, height in found["figures"]:
            assert left >= 0 and right <= width and across > min(width, 500) * 0.8 and height > 100

    def test_the_button_turns_the_page_and_its_figures_dark_and_back(self, browser, address):
        page = browser.open(address, 1280)
        assert page.evaluate(LOOK) == AS_LIGHT
        page.evaluate(CLICK)
        assert page.evaluate(LOOK) == AS_DARK
        page.evaluate(CLICK)
        assert page.evaluate(LOOK) == AS_LIGHT

    def test_the_theme_of_the_address_and_of_the_system(self, browser, address):
        assert browser.open(f"{address}#dark", 1280).evaluate(LOOK) == AS_DARK
        assert browser.open(f"{address}#light", 1280, dark=True).evaluate(LOOK) == AS_LIGHT
        page = browser.open(address, 1280, dark=True)
        assert page.evaluate(LOOK) == AS_DARK
        page.evaluate(CLICK)
        assert page.evaluate(LOOK) == AS_LIGHT

    def test_the_test_would_see_a_mistake(self, browser, text, tmp_path):
        bad = '<p style="width: 99rem">x</p><script>nobody();</script><img src="https://example.org/a.png">'
        path = tmp_path / "report.html"
        path.write_text(text.replace("<main>", f"<main>{bad}"), encoding="utf-8")
        page = browser.open(path.as_uri(), 390)
        assert page.evaluate(MEASURED)["scroll"] > 390
        assert any("nobody" in line for line in page.said)
        assert any("example.org" in line for line in [*page.said, *page.asked])  # the policy forbids it
