"""A moment is the same on every server, whatever the time zone of its machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

ASKED = """
import sys
from pathlib import Path
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
store = open_store(Run(Path(sys.argv[1])).current())
rows = store.ask("select '2024-04-01 00:30+00'::timestamptz as moment, moment::varchar as shown, moment::date as day")
print(rows.schema.field("moment").type, rows["shown"][0], rows["day"][0])
print(store.select("select count(*) from texts where '2024-04-01 00:30+00'::timestamptz::date = '2024-04-01'")[0][0])
"""


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles"])
def test_times_are_shown_in_utc(tiny_data: Path, zone: str) -> None:
    command = [sys.executable, "-c", ASKED, str(tiny_data / "tiny")]
    environment = os.environ | {"TZ": zone}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:2] == ["timestamp[us, tz=UTC] 2024-04-01 00:30:00+00 2024-04-01", "600"]
