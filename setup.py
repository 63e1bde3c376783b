"""What pyproject.toml cannot say: recipes go into the package, and the README is shown by a package index."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_PAGES = "https://github.com/softprompt/softprompt/blob/main/"
_FILES = "https://raw.githubusercontent.com/softprompt/softprompt/main/"

# A link in Markdown, and an address in HTML, that begin with neither a scheme nor `#`.
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s]+\))")
_ADDRESS = re.compile(r"""(\s(?:src|srcset)=")(?![a-z]+:)([^"]+")""")


class WithRecipes(build_py):
    """Also copies `recipes/` to `softprompt/recipes/`, where commands look for them."""

    def run(self) -> None:
        """Build as always; an editable install finds them where they are."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "softprompt" / "recipes"
            shutil.copytree("recipes", target, dirs_exist_ok=True)


def readme() -> str:
    """README.md with links to the repository, since a package index has no files beside it."""
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    return _ADDRESS.sub(rf"\1{_FILES}\2", _LINK.sub(rf"\1{_PAGES}\2", text))


setup(
    cmdclass={"build_py": WithRecipes},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
