"""Pinned packages from their registries, and the files inside them, each proven by its sha256."""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from errors import BuildError
from recipe import Package


class PackageCache:
    """A folder of package archives; an archive is fetched once, by name and version, with its registry's own client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, package: Package, path: str) -> bytes:
        """The bytes of one file of a package, as named in the recipe; an inner zip counts as a folder.

        Raises BuildError when the package cannot be fetched or a sha256 is not the recipe's.
        """
        content = self._archive(package).read_bytes()
        _prove(content, package.sha256, package.archive)
        reached = ""
        for name in _steps(package, path):
            content = _member(content, name)
            reached = f"{reached}/{name}".lstrip("/")
            _prove(content, package.files[reached], f"{package.archive}: {reached}")
        return content

    def _archive(self, package: Package) -> Path:
        archive = self._folder / package.archive
        if not archive.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            _fetch(package, self._folder)
        if not archive.exists():
            raise BuildError(f"{package.registry} gave no {package.archive}; place it in {self._folder}")
        return archive


def _fetch(package: Package, folder: Path) -> None:
    if package.registry == "npm":
        if shutil.which("npm") is None:
            raise BuildError(f"npm is needed to fetch {package.name}: sudo apt install npm")
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}", "--pack-destination", str(folder)]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", str(folder), *package.wheel_for]
        command += [f"{package.name}=={package.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"{package.name} {package.version} cannot be fetched, check the network: {reason}")


def _steps(package: Package, path: str) -> list[str]:
    """The path as names inside one archive after the other: those of the recipe's files that the path starts with."""
    reached = sorted(name for name in package.files if path == name or path.startswith(f"{name}/"))
    return [name.removeprefix(outer).lstrip("/") for outer, name in zip(["", *reached], reached, strict=False)]


def _member(archive: bytes, name: str) -> bytes:
    if zipfile.is_zipfile(io.BytesIO(archive)):
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            return members.read(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        member = members.extractfile(name)
        assert member is not None
        return member.read()


def _prove(content: bytes, sha256: str, name: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise BuildError(f"{name}: sha256 is {digest}, the recipe says {sha256}; delete it and run again")
