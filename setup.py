"""What pyproject.toml cannot say: the editable install.

The repository root is the package soundloom. For such a layout setuptools would install an import hook, which
type checkers and editors do not run. So the install puts a folder on the path instead, .editable, that holds
links under the name soundloom to what the package is made of. New files in a package are seen at once; a new
package or module of the root wants `pip install -e .` again.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

FOLDER = ".editable"


def link_package(root: Path, packages: list[str]) -> bool:
    """Make the folder of links; False where this system allows none."""
    package = root / FOLDER / "soundloom"
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    package.mkdir(parents=True)
    names = {name.split(".")[1] for name in packages if "." in name} | {"py.typed"}
    names |= {path.name for path in root.glob("*.py") if path.name != "setup.py"}
    try:
        for name in sorted(names):
            (package / name).symlink_to(
                os.path.join("..", "..", name), target_is_directory=(root / name).is_dir()
            )
    except OSError:
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        return False
    return True


class EditableWheel(editable_wheel):
    """The editable install by a path instead of a hook, if links can be made."""

    def finalize_options(self) -> None:
        root = Path(self.distribution.src_root or os.curdir).resolve()
        if link_package(root, self.distribution.packages):
            self.distribution.package_dir = {"": FOLDER}
        super().finalize_options()


class BuildPy(build_py):
    """The package without this file, which lies in its folder."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        return [found for found in super().find_package_modules(package, package_dir) if found[1] != "setup"]


setup(cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel})
