"""A moment is the same on every server, whatever the time zone of its machine."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib import queries
from featurelib.schema import TEXTS
from featurelib.storage.store import open_store
from tests.support import ROOT
from tests.support.numpy_run import N_TEXTS, finish, make_run

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


ZONES = {
    "shanghai": ("Asia/Shanghai", ZoneInfo("Asia/Shanghai")),
    "new_york": ("America/New_York", ZoneInfo("America/New_York")),
    "india": ("+05:30", datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    "minus": ("-03:30", datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))),
}


def test_moments_are_shown_filtered_and_counted_as_the_file_wrote_them(tmp_path: Path) -> None:
    made = make_run(tmp_path / "moments")
    start = datetime.datetime(2024, 3, 9, 18, tzinfo=datetime.UTC)
    # seven hours apart: over midnight in each zone, and over New York's change to summer time
    moments = [start + datetime.timedelta(hours=7 * (row % 5)) for row in range(N_TEXTS)]
    path = made.generation.file(TEXTS)
    rows = pq.read_table(path)
    for name, (zone, _) in ZONES.items():
        rows = rows.append_column(name, pa.array(moments, pa.timestamp("us", zone)))
    pq.write_table(rows.append_column("utc", pa.array(moments, pa.timestamp("us", "UTC"))), path)
    finish(made.generation)
    store = open_store(made.generation)
    feature_id = int((made.activations > 0).sum(axis=0).argmax())
    fires = (made.activations[:, feature_id] > 0).nonzero()[0]
    for name, (_, zone) in ZONES.items():
        written = [moment.astimezone(zone).isoformat(sep=" ") for moment in moments]
        assert [queries.text_metadata(store, text_id, [name])[name] for text_id in range(5)] == written[:5]
        values = queries.metadata_values(store, feature_id, name).to_pylist()
        wanted = {value: sum(written[row] == value for row in fires) for value in set(written)}
        assert {row["value"]: row["n_texts"] for row in values} == wanted
        chosen = queries.top_texts(store, feature_id, column=name, value=written[3], limit=1000)
        assert sorted(chosen["text_id"].to_pylist()) == [row for row in fires if written[row] == written[3]]
        assert set(chosen[name].to_pylist()) == {written[3]}
    assert queries.text_metadata(store, 0, ["utc"])["utc"] == start


def test_a_zone_that_nobody_knows_is_shown_in_utc(tmp_path: Path) -> None:
    made = make_run(tmp_path / "odd")
    path = made.generation.file(TEXTS)
    moment = datetime.datetime(2024, 3, 9, 18, tzinfo=datetime.UTC)
    zoned = pa.array([moment] * N_TEXTS, pa.timestamp("us", "Mars/'); drop view texts; --"))
    pq.write_table(pq.read_table(path).append_column("odd", zoned), path)
    finish(made.generation)
    assert queries.text_metadata(open_store(made.generation), 0, ["odd"])["odd"] == moment
