"""What docs/door.md says of the policy is what the program does."""

import re
import subprocess
import sys

import pytest

from appliance.access.policy import RULES
from appliance.access.reason import Reason


@pytest.fixture(scope="module")
def section(root):
    """The chapter on who may pass."""
    return (root / "docs" / "door.md").read_text("utf-8").partition("## Who may pass\n")[2].partition("\n## ")[0]


def test_its_table_has_every_rule_in_its_order_and_every_reason(section):
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert [rule for row in rows for rule in re.findall("`(.*?)`", row[1])] == list(RULES)
    reasons = {word for row in rows for word in re.findall("`([a-z_]+)`", row[3])}
    assert reasons == set(Reason) - {Reason.GRANTED, Reason.DEMONSTRATION}


def test_its_example_says_what_it_shows(section, tmp_path):
    toml = re.search(r"```toml\n(.*?)```", section, re.DOTALL)[1]
    (tmp_path / "door.toml").write_text(toml, "utf-8")
    arguments, shown = re.search(r"\$ appliance (policy explain .*?)\n(.*?)```", section, re.DOTALL).groups()
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments.split()],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout == shown
