"""The page of `mlops compare`: what was found, in one file, whatever names the user has chosen."""

from helpers import Page, module
from test_page import NASTY

comparison = module("report.comparison")


def document(**changes):
    rows = [
        {"number": n, "title": f"{n} {name}", "began": "1 Jan 2026, 12:00", "scores": [score, 0.5], "outcome": what}
        for n, name, score, what in (
            (1, "as in model.yml", 9.0, "champion, version 1"),
            (2, NASTY, 7.5, "not promoted"),
        )
    ]
    rows = [{**row, "champion": row["number"] == 1} for row in rows]
    group = {"metrics": ["mae", "r2"], "higher_is_better": False, "rows": 1200, "best": 2, "runs": rows}
    made = {
        "groups": [group],
        "reference": "1 as in model.yml",
        "changes": [
            {"run": "2 other", "number": 2, "changes": [("max_iter", "200", "50"), ("data", "abc", "def")]},
            {"run": "3 same", "number": 3, "changes": []},
        ],
        "problems": [{"run": "4 broken", "reason": "step train failed"}],
        "searches": [
            {
                "run": "5 search",
                "metric": "mae",
                "higher_is_better": False,
                "failed": 1,
                "trials": [{"name": "trial 2", "score": 6.5, "candidate": "max_iter=80"}],
            }
        ],
        "verdict": [
            ("best: run 2", []),
            ("run 2 is not the champion, because", ["the gain is small", "a part is worse"]),
        ],
    }
    return made | changes


def test_the_page_has_scores_changes_problems_and_trials_and_the_verdict_first():
    built = comparison.build(document())
    cells = [*Page(built).text("td"), *Page(built).text("th")]
    assert {"9", "7.5", "champion, version 1", "max_iter", "200", "50", "trial 2", "6.5", "max_iter=80"} <= set(cells)
    items = Page(built).text("li")
    assert items[0] == "best: run 2"
    assert {"the gain is small", "a part is worse", "4 broken: step train failed"} <= set(items)
    assert "Of 2 runs," in built
    assert "(lower is better)" in built


def test_a_command_in_the_verdict_is_code_and_no_markup():
    built = comparison.build(document(verdict=[('`uv run mlops local --overrides "a=<1>"` runs it again', ["a `b`"])]))
    assert "<li><code>uv run mlops local --overrides &#34;a=&lt;1&gt;&#34;</code> runs it again" in built
    assert "<li>a <code>b</code></li>" in built
    assert "`" not in built


def test_it_refers_to_nothing_and_no_name_becomes_markup():
    built = comparison.build(document())
    assert "<script" not in built
    assert "http" not in built.replace("http://www.w3.org", "")


def test_groups_that_cannot_be_compared_are_apart_and_the_newest_is_the_first():
    groups = document()["groups"]
    older = groups[0] | {"rows": 900, "best": 1}
    built = comparison.build(document(groups=[older, *groups]))
    assert built.index("mae on 1,200 held-out rows") < built.index("mae on 900 held-out rows")
    assert built.count("cannot be compared with the others on this page") == 2


def test_runs_without_a_score_are_a_page_without_a_chart():
    built = comparison.build(document(groups=[], reference=None, changes=[]))
    assert "<svg" not in built
    assert "4 broken: step train failed" in built
