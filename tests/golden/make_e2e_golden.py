"""Run the official E2E scorer on the golden cases and freeze its figures in `e2e_official.json`.

    python tests/golden/make_e2e_golden.py CHECKOUT [--perl-lib FOLDER]

CHECKOUT is a clone of https://github.com/tuetschek/e2e-metrics (commit 1b9c4d8 made the frozen
figures) whose requirements are installed in this Python, with Java and Perl on the PATH and the E2E
data in `SOFTPROMPT_DATA`. Its Perl script names the module XML::Twig, but uses it for `.xml` inputs
only; where the module is missing, `--perl-lib` takes a folder with a stand-in `XML/Twig.pm` that
holds `package XML::Twig; 1;`.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = {"BLEU": "bleu", "NIST": "nist", "METEOR": "meteor", "ROUGE_L": "rouge_l", "CIDEr": "cider"}
Case = tuple[list[str], list[list[str]]]


def own_sentences() -> Case:
    """Sentences written for these tests, with the signs that tokenizers trip over."""
    rows = json.loads((HERE / "e2e_texts.json").read_text(encoding="utf-8"))
    return [row["hypothesis"] for row in rows], [row["references"] for row in rows]


def spoiled_test_set(path: Path, n_tables: int) -> Case:
    """The first tables of `testset_w_refs.csv`, each with one of its references spoiled as the output."""
    groups: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["mr"], []).append(" ".join(row["ref"].split()))
    references = list(groups.values())[:n_tables]
    picked = [group[i % len(group)].split() for i, group in enumerate(references)]
    hypotheses = []
    for i, words in enumerate(picked):
        if i % 5 == 0:  # half of another table's text
            words = words[: len(words) // 2] + picked[i - 1][len(picked[i - 1]) // 2 :]
        hypotheses.append(" ".join(word for k, word in enumerate(words) if (i + k) % 9))
    return hypotheses, references


def official(checkout: Path, case: Case, perl_lib: str) -> dict[str, float]:
    """The scorer's figures as it prints them: four decimals, all but NIST and CIDEr from 0 to 1."""
    hypotheses, references = case
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PERL5LIB": perl_lib}
    with tempfile.TemporaryDirectory() as folder:
        outputs, golds = Path(folder, "outputs.txt"), Path(folder, "references.txt")
        groups = ("\n".join(group) for group in references)
        outputs.write_text("\n".join(hypotheses) + "\n", encoding="utf-8", newline="\n")
        golds.write_text("\n\n".join(groups) + "\n", encoding="utf-8", newline="\n")
        command = [sys.executable, str(checkout / "measure_scores.py"), str(golds), str(outputs)]
        done = subprocess.run(
            command, env=environment, cwd=checkout, check=True, stdout=subprocess.PIPE, encoding="utf-8"
        )
    printed = dict(re.findall(r"^(\w+): ([0-9.]+)$", done.stdout, flags=re.MULTILINE))
    return {ours: float(printed[theirs]) for theirs, ours in NAMES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--perl-lib", type=Path)
    chosen = parser.parse_args()
    perl_lib = str(chosen.perl_lib.resolve()) if chosen.perl_lib else ""
    data = Path(os.environ.get("SOFTPROMPT_DATA", Path("..") / "shared" / "data"))
    cases = {
        "own_sentences": own_sentences(),
        "spoiled_test_set_60": spoiled_test_set(data / "e2e" / "testset_w_refs.csv", 60),
    }
    figures = {name: official(chosen.checkout.resolve(), case, perl_lib) for name, case in cases.items()}
    text = json.dumps(figures, indent=1) + "\n"
    (HERE / "e2e_official.json").write_text(text, encoding="utf-8", newline="\n")
    print(text)


if __name__ == "__main__":
    main()
