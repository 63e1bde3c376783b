"""What pyproject.toml cannot say: the recipes lie beside the sources and go into the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithRecipes(build_py):
    """Also copies `recipes/` to `softprompt/recipes/`, where `softprompt papers` looks for it."""

    def run(self) -> None:
        """Build as always; an editable install finds them where they are."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "softprompt" / "recipes"
            shutil.copytree("recipes", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithRecipes})
