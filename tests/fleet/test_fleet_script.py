"""scripts/fleet_test with small sizes: servers are killed, a network is cut."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "fleet_test"

SIZES = ["--people", "400", "--replicas", "4", "--changes", "5", "--acts", "30", "--kills", "3", "--seconds", "6"]


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and network namespaces: sudo apt install iproute2, then run the tests as root",
)
def test_a_small_site_keeps_what_it_shared(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "site", "cut", *SIZES],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ok\n")
    assert "identified 10 of 10 faces" in done.stdout
