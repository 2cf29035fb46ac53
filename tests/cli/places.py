"""A device whose people are looked after from its command line."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from people_of_nowhere import gallery_of

from appliance.cli.main import main
from appliance.gallery import backup, vault
from appliance.gallery.backup import Cost
from appliance.gallery.gallery import FILE, Gallery

PASSPHRASE = "a passphrase of many words"

CONFIG = '[engine]\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n[log]\nlevel = "debug"\n'


CHEAP = Cost(1, 1, 1)
"""Of the archives of commands in this process; those of processes of their own cost a guess what is shipped."""


class Done(NamedTuple):
    """How a command went."""

    returncode: int
    stdout: str
    stderr: str


class Place:
    """A device's state, site key and settings, and the commands that are given there."""

    def __init__(self, folder):
        self.folder, self.state, self.key_file = folder, folder / "state", folder / "config/face-appliance/gallery.key"
        self.database = self.state / FILE
        self.passphrase, self.config = folder / "passphrase", folder / "config.toml"
        self.passphrase.write_text(f"{PASSPHRASE}\n", "utf-8")
        self.config.write_text(CONFIG, "utf-8")
        self.environment = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"} | {
            "STATE_DIRECTORY": str(self.state),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "APPLIANCE_CONFIG": str(self.config),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def line(self, *arguments):
        """A command of the shell."""
        return [sys.executable, "-m", "appliance", "people", *map(str, arguments)]

    def run(self, *arguments):
        """A command to its end, in this process, which is sooner than in one of its own."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(backup, "SHIPPED_COST", CHEAP)
            status = main(["people", *map(str, arguments)])
        return Done(status, out.getvalue(), err.getvalue())

    def process(self, *arguments, **how):
        """A command to its end, as a process of its own."""
        done = subprocess.run(
            self.line(*arguments),
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            cwd=self.folder,
            check=False,
            **how,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def says(self, *arguments):
        """What a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *people, templates=1):
        """Makes its gallery, of these people."""
        vault.make_site_key(self.key_file)
        with self.gallery() as gallery:
            gallery_of(gallery, people, templates)

    @contextmanager
    def gallery(self):
        """Its gallery, opened beside whoever else has it open."""
        gallery = Gallery(self.database, vault.read_site_key(self.key_file))
        yield gallery
        gallery.close()

    def people(self):
        """The ids of those who are known, and how many templates they have together."""
        with self.gallery() as gallery:
            assert gallery.problem() is None
            return [known.person.id for known in gallery.people()], gallery.templates
