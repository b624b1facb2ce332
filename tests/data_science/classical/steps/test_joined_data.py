"""From what the endpoint collected and what became known later to training data that prep accepts."""

import json

from azureml.ai.monitoring.payload import PandasFrameData
from helpers import module
from samples import flights
from step_runs import run_prep

FEATURES = ["hour", "carrier", "wind"]


def test_requests_with_outcomes_train_beside_the_raw_data(folders, capsys):
    known = flights(60, seed=5).assign(id=[f"new{number}" for number in range(60)])
    collected = folders.root / "model_inputs"
    collected.mkdir()
    requests = {f"request-{start}": known.iloc[start : start + 20] for start in (0, 20, 40)}
    with (collected / "instance.jsonl").open("w", encoding="utf-8") as stream:
        for number, rows in requests.items():
            event = {"data": json.loads(PandasFrameData(rows[FEATURES]).to_json()), "correlationid": number}
            stream.write(f"{json.dumps(event)}\n")
    outcomes = known.drop(columns=FEATURES).assign(
        request_id=[number for number, rows in requests.items() for _ in range(len(rows))],
        request_row=[place for rows in requests.values() for place in range(len(rows))],
    )
    outcomes.loc[:9, "delay"] = None  # not known yet
    outcomes.to_csv(folders.root / "outcomes.csv", index=False)
    words = ["--outcomes", str(folders.root / "outcomes.csv"), "--schema", str(folders.schema)]
    module("join").main([*words, "--collected", str(collected), "--output", str(folders.raw / "later.jsonl")])
    assert "60 collected rows, 60 outcomes, 50 joined" in capsys.readouterr().out
    train, test = run_prep(folders)
    assert len(train) + len(test) == 200 + 50
    row = known.iloc[12]
    both = [frame[frame["id"] == row["id"]] for frame in (train, test)]
    [found] = [frame.iloc[0] for frame in both if len(frame)]
    assert found[[*FEATURES, "delay"]].tolist() == row[[*FEATURES, "delay"]].tolist()
