"""The demo's input: hourly air temperatures of San Francisco and Seattle in 2010, from NOAA (public domain), as the
package `vega-datasets` ships them. docs/reference/demo-data.md has source and licence."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from verifier.errors import NotFound

STATIONS = {"san-francisco": "sf-temps.csv", "seattle": "seattle-temps.csv"}
SCALE = 10
"""The program takes whole numbers: tenths of a degree Fahrenheit, as NOAA gives them."""
_FORMATS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M")


@dataclass(frozen=True)
class Measurement:
    """One row of a station's file."""

    station: str
    timestamp: int
    """Milliseconds since the Unix epoch; the station's local clock read as UTC."""
    value: int
    """Tenths of a degree Fahrenheit."""


def _time(text: str) -> int:
    for form in _FORMATS:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no date of the form YYYY/MM/DD HH:MM")


def _folder() -> Path:
    # Only its data files are wanted: importing the package would bring pandas into the process.
    spec = importlib.util.find_spec("vega_datasets")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            "W3B-8003", "the package vega-datasets is not installed", next_step="pip install 'w3bstream[demo]'"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "_data"


def measurements(limit: int | None) -> list[Measurement]:
    """The first `limit` measurements (None: all 17,518); the stations take turns, each in the order of its clock."""
    stations = []
    for station, name in STATIONS.items():
        with (_folder() / name).open(newline="") as file:
            rows = [
                Measurement(station, _time(row["date"]), round(float(row["temp"]) * SCALE))
                for row in csv.DictReader(file)
            ]
        stations.append(sorted(rows, key=lambda row: row.timestamp))
    turns = [row for pair in zip(*stations, strict=False) for row in pair]
    return turns if limit is None else turns[:limit]
