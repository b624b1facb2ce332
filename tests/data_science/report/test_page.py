"""The page of an evaluation: complete, accessible, and one file."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from helpers import Page, module

charts, report = module("report.charts"), module("report.page")
Column, Schema = module("core.schema").Column, module("core.schema").Schema
Drift, DriftResult, MINIMUM_ROWS, Samples = (
    getattr(module("core.distances"), name) for name in ("Drift", "DriftResult", "MINIMUM_ROWS", "Samples")
)
Cohorts, promotion = module("core.fairness").Cohorts, module("core.promotion")
SliceScore, demographic_parity = module("core.metrics").SliceScore, module("core.metrics").demographic_parity
metric, scores = module("core.metrics").metric, module("core.metrics").scores
Predictions = module("core.predictions").Predictions
Figure, Panel, Table, number = (getattr(module("core.panels"), name) for name in ("Figure", "Panel", "Table", "number"))
PANEL = Panel(
    name="importance",
    title="What the model uses",
    intro="Each feature is shuffled in turn.",
    figures=[Figure(charts.importance([("wind", 3.2, 0.1)], "loss", "The model relies most on wind"), "Wind.")],
    table=Table(
        "feature importance", "Loss", ("feature", "loss", "what it is"), [("wind", "3.2", "")], ("what it is",)
    ),
    records=[{"feature": "wind", "mean": 3.2}],
    gallery=[Figure('<svg role="img" aria-label="A small drawing of wind"><g fill="var(--ink)"/></svg>', "Small.")],
)
NASTY = "<script>alert('&')</script>"


def predicted(values, task, label):
    """Return predictions; those of a classification are certain to nine tenths."""
    if task == "regression":
        return Predictions(values)
    classes = (label, "late")
    return Predictions(values, (values[:, np.newaxis] == np.array(classes, dtype=object)) * 0.8 + 0.1, classes)


def evaluation(task="regression", champion=True, production=True, name="delays", label="AA", rows=120):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "wind": random.gamma(4, 3, rows),
            "month": random.integers(1, 13, rows),
            "carrier": random.choice([label, "BB"], rows),
        }
    )
    if task == "regression":
        frame["delay"] = frame["wind"] * 3 + random.normal(0, 4, rows)
        target, deciding, floor = Column("delay", "number", unit="minutes"), metric("mae", task), 15.0
        new, old = frame["delay"] + random.normal(0, 3, rows), frame["delay"] + random.normal(0, 6, rows)
    else:
        frame["delay"] = np.where(frame["wind"] > 12, "late", label)
        target, deciding, floor = Column("delay", "category"), metric("accuracy", task), 0.5
        new = frame["delay"].where(random.random(rows) < 0.9, label)
        old = frame["delay"].where(random.random(rows) < 0.7, "late")
    columns = [
        target,
        Column("wind", "number", unit="knots"),
        Column("month", "integer"),
        Column("carrier", "category"),
    ]
    values = {"challenger": new.to_numpy(), "baseline mean": np.full(rows, frame["delay"].iloc[0])}
    if champion:
        values["champion v9"] = old.to_numpy()
    predictions = {name: predicted(each, task, label) for name, each in values.items()}
    policy = promotion.Policy(deciding, floor)
    intervals = {
        name: promotion.paired_bootstrap(deciding, frame["delay"], predictions["challenger"], each)
        for name, each in predictions.items()
        if name != "challenger"
    }
    interval = intervals.pop("champion v9", None)
    scored = {model: scores(task, frame["delay"], values) for model, values in predictions.items()}
    best = {model: values[deciding.name] for model, values in scored.items()}
    groups = frame["carrier"].astype("category")
    slices = [
        SliceScore("carrier", value, int((groups == value).sum()), best["challenger"], best.get("champion v9"))
        for value in groups.cat.categories
    ]
    cohorts = [Cohorts("carrier", deciding, (*slices, replace(slices[0], value="CC", rows=3)), 9, worst=floor)]
    if task == "classification":
        parity = demographic_parity(label)
        shares = tuple(replace(each, challenger=number / 4) for number, each in enumerate(slices))
        cohorts.append(Cohorts("carrier", parity, shares, 9))
    return report.Evaluation(
        model_name=name,
        created="22 November 2026, 02:00 UTC",
        schema=Schema("delay", task, {column.name: column for column in columns}),
        policy=policy,
        decision=promotion.decide(policy, best["challenger"], best.get("champion v9"), interval, slices),
        actual=frame["delay"],
        predictions=predictions,
        scores=scored,
        champion="champion v9" if champion else None,
        champion_note="" if champion else "no version is registered yet",
        interval=interval,
        baselines=intervals,
        slices=slices,
        cohorts=cohorts,
        groups={"carrier": groups},
        panels=[PANEL],
        drift=drift(columns[1:], frame, new) if production else None,
    )


def of_many_classes(count, rows=600):
    """Return an evaluation of a model that takes each class for the next one, once in six rows."""
    case = evaluation("classification", champion=False)
    names = [f"class {place:03}" for place in range(count)]
    actual = np.arange(rows) % count
    guess = np.where(np.random.default_rng(0).random(rows) < 1 / 6, (actual + 1) % count, actual)
    predictions = Predictions(np.array(names, dtype=object)[guess], np.eye(count)[guess], tuple(names))
    truth = pd.Series(np.array(names, dtype=object)[actual])
    scored = {"challenger": scores("classification", truth, predictions)}
    return replace(case, actual=truth, predictions={"challenger": predictions}, scores=scored, slices=[], baselines={})


def drift(columns, frame, predicted):
    later = frame.assign(wind=frame["wind"] + 9, carrier="BB", month=12)
    kind = "number" if predicted.dtype == float else "category"
    samples = [Samples(column, frame[column.name], later[column.name]) for column in columns]
    samples.append(Samples(Column("prediction", kind), predicted, predicted, "held-out"))
    results = [
        DriftResult("wind", "jensen_shannon_distance", 0.6, 0.1, 0.59, 0.2, 0.001, True),
        DriftResult("month", "two_sample_kolmogorov_smirnov_test", 0.0, None, None, 0.01, 0.001, True),
        DriftResult("carrier", "jensen_shannon_distance", 0.9, 0.1, 0.89, 0.2, 0.001, True),
        DriftResult("prediction", "jensen_shannon_distance", 0.1, 0.1, 0.0, 0.2, 0.4, False),
    ]
    return Drift(len(frame), len(later), samples, results)


CASES = {
    "regression": evaluation(),
    "classification": evaluation("classification"),
    "first model": evaluation(champion=False, production=False),
    "20 classes": of_many_classes(20),
    "100 classes": of_many_classes(100),
    "hostile names": evaluation(name=NASTY, label=NASTY),
    "hostile classes": evaluation("classification", name=NASTY, label="<b>&$x^2$\"'"),
}


@cache
def build(case):
    return report.build(CASES[case])


@pytest.fixture(params=CASES)
def built(request):
    return build(request.param)


@pytest.fixture
def page(built):
    return Page(built)


def test_the_page_names_its_language_its_title_and_its_width(page):
    assert page.all("html") == [{"lang": "en"}]
    [title] = page.text("title")
    assert title.startswith(("Promoted: ", "Not promoted: "))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert {"charset": "utf-8"} in page.all("meta")


def test_there_is_one_first_heading_and_no_level_is_skipped(page):
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_there_are_landmarks_and_each_section_has_a_name(page):
    assert [len(page.all(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
    names = {attributes["aria-labelledby"] for attributes in page.all("section")}
    assert names == {attributes["id"] for attributes in page.all("h2")}


def test_every_chart_names_what_it_shows(page):
    drawings = page.all("svg")
    assert len(drawings) >= 4
    assert all(each["role"] == "img" and len(each["aria-label"]) > 20 for each in drawings)
    assert len(page.all("figcaption")) == len(page.all("figure")) == len(drawings)
    assert all(image.get("alt") for image in page.all("img"))


def test_every_table_has_a_caption_and_its_headers_have_a_scope(page):
    assert len(page.all("caption")) == len(page.all("table")) >= 3
    assert all(page.text("caption"))
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    assert all("table" in parents and "div" in parents for tag, _, parents in page.elements if tag == "caption")


def test_nothing_is_requested_from_the_network_and_nothing_is_run(built, page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", built)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _, _ in page.elements}
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def test_the_file_is_small(built):
    assert len(built.encode()) < 1_000_000


def test_no_id_appears_twice_and_every_reference_has_its_target(built):
    names = re.findall(r'\sid="([^"]+)"', built)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', built)) <= set(names)


def test_charts_follow_the_dark_mode_of_the_reader(built):
    assert "prefers-color-scheme: dark" in built
    for drawing in re.findall(r"<svg.*?</svg>", built, flags=re.DOTALL):
        assert "var(--ink)" in drawing
        assert not re.search(r"(?:fill|stroke): #", drawing)


def test_the_same_evaluation_gives_the_same_bytes():
    assert report.build(CASES["regression"]) == build("regression")


def test_names_from_the_data_cannot_become_markup():
    assert "&lt;script&gt;" in build("hostile names")
    assert "<b>" not in build("hostile classes")
    for case in ("hostile names", "hostile classes"):
        assert "<script" not in build(case)


def test_the_decision_comes_first_with_its_reasons():
    case = CASES["regression"]
    page = Page(build("regression"))
    assert page.text("h2")[0] == "✓ Promoted"
    assert set(case.decision.reasons) <= set(page.text("li"))


@pytest.mark.usefixtures("without_shapes")
def test_a_refusal_states_that_the_model_in_service_stays():
    refused = promotion.Decision(False, ("the gain is too small",))
    page = Page(report.build(replace(CASES["regression"], decision=refused)))
    assert page.text("h2")[0] == "✗ Not promoted"
    assert "The model in service stays, because" in page.text("p")
    assert "the gain is too small" in page.text("li")


def test_small_figures_are_side_by_side_in_a_gallery_with_their_captions(page):
    [gallery] = [attributes for attributes in page.all("div") if attributes.get("class") == "gallery"]
    assert gallery
    assert "Small." in page.text("figcaption")


@pytest.mark.usefixtures("without_shapes")
def test_an_explanation_without_rows_has_no_table():
    empty = replace(PANEL, table=replace(PANEL.table, rows=[]), figures=[], gallery=[])
    page = Page(report.build(replace(CASES["regression"], panels=[empty])))
    assert PANEL.intro in page.text("p")
    assert not [text for text in page.text("summary") if text.startswith("All 0")]


def drawing(case, label):
    return [each for each in Page(build(case)).all("svg") if label in each["aria-label"]]


def test_the_confusion_of_20_classes_is_a_square_and_its_mistakes_are_listed_with_their_shares():
    [matrix] = drawing("20 classes", "Confusion of delay")
    _, _, width, height = map(float, matrix["viewbox"].split())
    assert height < 1.3 * width
    page = Page(build("20 classes"))
    assert [text for text in page.text("caption") if text.startswith("The 15 most frequent mistakes")]
    case = CASES["20 classes"]
    wrong = pd.crosstab(case.actual, case.predictions["challenger"].values).stack()
    wrong = wrong[[row != column for row, column in wrong.index]]
    (row, column), count = wrong.idxmax(), int(wrong.max())
    cells = page.text("td")
    place = cells.index(column)
    assert cells[place + 1] == str(count)
    assert cells[place + 2] == f"{100 * count / (case.actual == row).sum():.1f} %"


def test_of_100_classes_there_is_no_matrix_but_the_finding_the_mistakes_and_a_table_to_unfold():
    assert not drawing("100 classes", "Confusion of delay")
    page = Page(build("100 classes"))
    [finding] = [text for text in page.text("p") if text.startswith("Confusion of delay: ")]
    assert "of 600 rows are right; the most frequent mistake is class" in finding
    assert [text for text in page.text("caption") if text.startswith("The 15 most frequent mistakes")]
    assert "All 100 classes as a table" in page.text("summary")
    assert "All 20 classes as a table" not in Page(build("20 classes")).text("summary")


def test_the_counts_of_few_classes_are_in_the_matrix_and_in_no_table():
    assert drawing("classification", "Confusion of delay")
    assert not [text for text in Page(build("classification")).text("caption") if "most frequent mistakes" in text]


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "talk.politics.misc"],
        ["comp.sys.ibm", "comp.sys.mac", "comp.sys.ibm.pc"],
        ["comp.sys.ibm.hardware", "comp.sys.ibm.software"],
        ["comp.sys.ibm.pc", "comp.sys.ibm.ps", "comp.....pc"],
        [f"{'a' * 30}{'b' * count}{'c' * 30}" for count in (1, 2, 12)],
        ["$5 and $6 more", "$5 and $6 or less"],
    ],
)
def test_long_names_of_classes_that_begin_alike_stay_different_in_the_matrix(names):
    drawn = charts.confusion(np.eye(len(names)), names, "Confusion")
    texts = Counter(re.findall("<text[^>]*>([^<]*)</text>", drawn))
    labels = [text for text, count in texts.items() if count == 2 and not text.isdigit()]
    assert len(labels) == len(names)
    assert max(map(len, labels)) <= 12
    assert set(labels) >= {name for name in names if len(name) <= 12}


def test_scores_are_given_in_the_unit_of_the_target():
    case = CASES["regression"]
    text = build("regression")
    assert f"mean absolute error {number(case.scores['challenger']['mae'])} minutes" in text


def test_the_report_shows_the_limit_and_names_which_cohort_is_worst_and_within_it():
    case = CASES["regression"]
    worst = number(case.cohorts[0].ranking[0].challenger)
    page = Page(build("regression"))
    assert "Fairness by cohort" in page.text("h2")
    [caption] = [text for text in page.text("figcaption") if "within the limit" in text]
    assert caption.startswith(
        f"By carrier: mae is worst for AA ({worst} minutes), within the limit of 15 minutes, and best"
    )
    assert caption.endswith(". Ring: fewer than 9 rows.")
    assert "dashed: the limit, 15<" in build("regression")
    assert page.text("td").count("too few rows") == 1
    beyond = report.build(replace(case, cohorts=[replace(case.cohorts[0], worst=0.5)]))
    assert "beyond the limit of 0.5 minutes" in beyond
    assert "dashed: the limit, 0.5; diamond: beyond<" in beyond


def test_the_report_shows_who_gets_which_class():
    text = " ".join(Page(build("classification")).text("figcaption"))
    assert "share of rows predicted as AA: from 0% (AA) to 25% (BB)" in text


@pytest.mark.usefixtures("without_shapes")
def test_cohorts_that_are_all_too_small_are_reported_as_such():
    case = CASES["regression"]
    small = report.build(replace(case, cohorts=[replace(case.cohorts[0], minimum_rows=1000, worst=None)]))
    assert any(
        "By carrier: no cohort has 1000 rows, so none is judged." in text for text in Page(small).text("figcaption")
    )


def test_the_report_names_the_columns_that_drifted_and_how_they_moved():
    text = build("regression")
    assert "3 of 4 columns drifted: wind, month, carrier" in text
    assert "The components of the embedding" not in text
    assert "wind: the median went from" in text
    assert re.search("carrier: AA went from [0-9]+% of the training rows to 0% of the production rows", text)


def test_the_report_shows_what_chance_explains_and_marks_the_predictions():
    page = Page(build("regression"))
    cells = page.text("td")
    wind = cells.index("0.59")
    assert cells[wind - 2 : wind + 4] == ["0.6", "0.1", "0.59", "above 0.2", "0.001", "drifted"]
    [caption] = [text for text in page.text("caption") if text.startswith("Drift of production")]
    assert caption.endswith("makes of the rows (prediction) is compared with what it makes of held-out rows")


@pytest.mark.usefixtures("without_shapes")
@pytest.mark.parametrize("case", ["regression", "classification"])
def test_predictions_that_drifted_are_drawn_against_the_held_out_rows(case):
    found = CASES[case].drift
    moved = [*found.results[:2], replace(found.results[3], excess=2.0, drifted=True)]
    text = report.build(replace(CASES[case], drift=replace(found, results=moved)))
    assert re.search("prediction: .* of the held-out rows|prediction: .* in the held-out rows", text)


@pytest.mark.usefixtures("without_shapes")
def test_too_few_production_rows_are_reported_as_too_few():
    few = replace(CASES["regression"].drift, production_rows=MINIMUM_ROWS - 1)
    text = report.build(replace(CASES["regression"], drift=few))
    assert f"That is too few to judge: {MINIMUM_ROWS} are needed." in " ".join(Page(text).text("p"))


def test_a_vanished_feature_and_an_infinite_distance_do_not_stop_the_report():
    found = CASES["regression"].drift
    samples = [
        each._replace(current=each.current.astype(object).where(lambda values: values != values))
        for each in found.samples
    ]
    results = [replace(each, value=float("inf"), excess=each.excess and float("inf")) for each in found.results]
    gone = replace(CASES["regression"], drift=replace(found, samples=samples, results=results))
    assert "infinite" in Page(report.build(gone)).text("td")


@pytest.mark.usefixtures("without_shapes")
def test_the_report_says_what_an_embedding_is_and_how_it_moved():
    case = CASES["regression"]
    values = pd.Series(np.random.default_rng(0).normal(size=90))
    moved = Samples(Column("embedding 1", "number"), values, values + 3, "held-out")
    result = DriftResult("embedding 1", "jensen_shannon_distance", 0.8, 0.1, 0.79, 0.2, 0.001, True)
    drifted = replace(case.drift, samples=[*case.drift.samples, moved], results=[*case.drift.results, result])
    page = Page(report.build(replace(case, drift=drifted)))
    assert "4 of 5 columns drifted: wind, month, carrier, embedding 1" in " ".join(page.text("p"))
    assert "The components of the embedding are how the model sees an example" in " ".join(page.text("p"))
    [caption] = [text for text in page.text("caption") if text.startswith("Drift of production")]
    assert "(prediction, embedding 1) is compared with what it makes of held-out rows" in caption
    [caption] = [text for text in page.text("figcaption") if text.startswith("embedding 1: the median went from")]
    assert "in the held-out rows to" in caption


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_scores_that_are_not_finite_do_not_stop_the_report(task):
    case = evaluation(task, champion=False)
    broken = replace(
        case,
        scores={model: dict.fromkeys(values, float("nan")) for model, values in case.scores.items()},
        slices=[replace(each, challenger=float("nan")) for each in case.slices],
        cohorts=[
            replace(each, scores=tuple(replace(part, challenger=float("nan")) for part in each.scores))
            for each in case.cohorts
        ],
        panels=[replace(PANEL, figures=[])],
        predictions=case.predictions
        if task == "classification"
        else case.predictions | {"challenger": Predictions(np.full(len(case.actual), np.nan))},
    )
    Page(report.build(broken))


def test_a_p_value_far_below_its_threshold_is_severe_and_one_above_is_not():
    def severity(value, excess, threshold):
        return report.severity(DriftResult("wind", "a metric", value, excess, excess, threshold, 0.5, False))

    assert severity(0.001, None, 0.01) == pytest.approx(10)
    assert severity(0.5, None, 0.01) < 1
    assert severity(0.5, 0.4, 0.2) == pytest.approx(2)
    assert severity(0.5, 0.0, 0.0) == 0
