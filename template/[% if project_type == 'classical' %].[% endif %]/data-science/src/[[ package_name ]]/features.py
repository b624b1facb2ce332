"""Features of your own: columns that the model gets and the data do not have. This file is yours.

`add_features` gets the columns of a request (in training those of the same names in data/raw), with the types of
data/schema.yml: a date is a text such as "2013-01-31" or "2013-01-31T18:30:00", a missing text or category is None, a
missing number NaN. It returns them with the new columns behind. Prep, training, evaluation, drift, endpoint and batch
all call it, and a model keeps its copy of this file. So

- list each new column under `features:` in data/schema.yml, with its type;
- give a column that only this function reads `role: input` there: a request has it, the model does not get it;
- compute each row from that row alone. A request may have one row, and it has no target;
- import what data-science/environment/inference.yml installs, and nothing from this package.

`uv run mlops lint` tries it on some rows of data/raw and says what is wrong. More: docs/model.md.
"""

import pandas as pd


def add_features(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the new columns."""
    # An example. To try it, remove the comment signs here and those of its lines in data/schema.yml.
    # day = pd.to_datetime(frame["date"].str[:10])
    # return frame.assign(
    #     departure_month=day.dt.month,
    #     departure_weekday=day.dt.day_name(),
    #     tail_digits=pd.to_numeric(frame["tailnum"].str.extract(r"(\d+)", expand=False)),
    # )
    return frame
