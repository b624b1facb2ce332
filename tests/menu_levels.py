"""What the tests prove of each combination of the menu, level by level; tests/test_menu.py writes docs/menu.md."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from combinations import AXES, combinations, label

TYPE, VERSION, SYSTEM, TOOL = AXES
TERRAFORM, BICEP = {TOOL: "terraform"}, {TOOL: "bicep"}
ON_GITHUB, ON_AZURE_DEVOPS = {SYSTEM: "github-actions"}, {SYSTEM: "azure-devops"}
SCHEMA = "test_pipelines.test_pipelines_match_the_published_schema_with_every_value_of_their_parameters"
RAI_OF_TEXTS = {TYPE: "nlp", VERSION: "rai-aml-cli-v2"}
ALL: dict[str, str] = {}


class Proof(NamedTuple):
    """Tests of which one kind, at least, has to run on a combination.

    Attributes:
        axes: on which of them the tested files depend: a test counts for all combinations that are alike in these.
        tests: their names, each with the answers that it stands for beside those of its parameters.
    """

    axes: tuple[str, ...]
    tests: Mapping[str, Mapping[str, str]]


class Level(NamedTuple):
    """A level that a combination reaches when each proof holds."""

    letter: str
    says: str
    proofs: tuple[Proof, ...]


def each(axes: tuple[str, ...], *names: str) -> tuple[Proof, ...]:
    """Return a proof for each of these tests, whose parameters are the combinations that they run on."""
    return tuple(Proof(axes, {name: ALL}) for name in names)


LEVELS = (
    Level(
        "S",
        "complete: each file is rendered and parses, and nothing is there of what was not chosen",
        each(
            AXES,
            "test_render.test_nothing_is_left_unrendered",
            "test_render.test_no_folder_is_empty",
            "test_render.test_every_file_parses",
            "test_render.test_what_was_not_chosen_is_not_there",
        ),
    ),
    Level(
        "R",
        "every path and reference leads to a file that is there",
        each(
            AXES,
            "test_render.test_every_link_and_path_in_the_documents_leads_somewhere",
            "test_render.test_every_file_path_in_yaml_leads_somewhere",
            "test_render.test_every_file_that_the_infrastructure_reads_is_there",
        ),
    ),
    Level(
        "C",
        "contracts match: verbs, options, inputs, outputs, permissions, resources and what the definitions name",
        (
            *each(AXES, "test_readme.test_the_table_of_commands_names_only_commands_of_the_readme"),
            *each((SYSTEM,), "test_pipeline_runs.test_one_version_goes_from_dev_through_test_to_prod"),
            *each((SYSTEM,), "test_pipeline_runs.test_a_pull_request_is_checked_planned_and_commented"),
            Proof((TOOL,), {"test_parity.test_both_tools_build_the_same_in_each_environment": ALL}),
            Proof(
                (SYSTEM,),
                {
                    "test_workflows.test_workflows_call_verbs_that_exist_with_options_that_exist": ON_GITHUB,
                    "test_pipelines.test_pipelines_call_verbs_that_exist_with_options_that_exist": ON_AZURE_DEVOPS,
                },
            ),
            *each((VERSION,), "test_engine.test_the_engine_passes"),
        ),
    ),
    Level(
        "X",
        "nothing is retired or near its end, and nothing is fetched from another repository's templates",
        (
            *each(AXES, "test_freshness.test_no_project_starts_on_what_is_retired_or_near_its_end"),
            Proof(
                (SYSTEM,),
                {
                    "test_workflows.test_every_action_is_pinned_by_commit_with_its_release_beside_it": ON_GITHUB,
                    "test_pipelines.test_the_pipelines_of_each_combination_keep_all_rules": ALL,
                },
            ),
        ),
    ),
    Level(
        "V",
        "validators find nothing: Terraform, the types of Bicep, linters and schemas of the orchestration, ruff, mypy",
        (
            Proof(
                (TOOL,),
                {
                    "test_terraform.test_it_is_formatted_and_valid_whatever_was_chosen": TERRAFORM,
                    "test_bicep.test_bicep_fits_the_types_of_azure": BICEP,
                },
            ),
            Proof(
                (SYSTEM, TOOL),
                {
                    "test_workflows.test_actionlint_and_shellcheck_find_nothing": ON_GITHUB,
                    SCHEMA: ON_AZURE_DEVOPS,
                },
            ),
            Proof(
                (SYSTEM, TOOL),
                {
                    "test_workflows.test_zizmor_finds_nothing": ON_GITHUB,
                    "test_pipelines.test_shellcheck_finds_nothing_in_the_scripts": ON_AZURE_DEVOPS,
                },
            ),
            *each((TYPE, VERSION), "test_project.test_ruff_finds_nothing"),
            Proof(
                (TYPE, VERSION),
                {
                    "test_project.test_mypy_finds_nothing": ALL,
                    "test_project.test_responsible_ai_of_texts_is_that_of_images": {
                        TYPE: "nlp",
                        VERSION: "rai-aml-cli-v2",
                    },
                },
            ),
        ),
    ),
    Level(
        "L",
        "the local loop trains, gates, registers, serves, scores and reports",
        each((TYPE, VERSION), "test_project.test_the_local_loop_ends_with_a_live_score_and_a_report"),
    ),
    Level(
        "U",
        "an update equals a fresh copy and keeps edits, also one that switches the choice",
        (
            *each((TYPE,), "test_update.test_each_release_updates_to_this_commit_and_equals_a_fresh_copy"),
            *each((VERSION,), "test_update.test_another_mlops_version_is_an_update_and_equals_a_fresh_copy"),
            *each(
                (SYSTEM, TOOL),
                "test_update.test_another_infrastructure_or_orchestration_is_an_update_and_equals_a_fresh_copy",
            ),
        ),
    ),
)


class Item(NamedTuple):
    """A test as pytest collects it: `module.function`, and the answers of its parameters."""

    name: str
    answers: Mapping[str, Any]


Items = Mapping[str, list[Item]]
"""Tests by name."""


def by_name(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Return tests by name."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item)
    return found


def proofs(cell: Mapping[str, str], level: Level, items: Items) -> list[int]:
    """Return how many tests prove each part of a level for a combination."""
    return [
        sum(stands_for(cell, proof, item) for name in proof.tests for item in items.get(name, ()))
        for proof in level.proofs
    ]


def stands_for(cell: Mapping[str, str], proof: Proof, item: Item) -> bool:
    """Return whether a test of a proof runs on files that this combination has, too."""
    known = {**proof.tests[item.name], **item.answers}
    return all(known.get(axis, cell[axis]) == cell[axis] for axis in proof.axes)


def page(items: Items) -> str:
    """Return the page about the menu as Markdown."""
    lines = [HEAD.format(cells=len(combinations()))]
    lines += [f"- **{level.letter}**: {level.says}." for level in LEVELS]
    lines += ["", f"| combination | {' | '.join(level.letter for level in LEVELS)} |"]
    lines += ["| --- |" + " ---: |" * len(LEVELS)]
    for cell in combinations():
        counts = [proofs(cell, level, items) for level in LEVELS]
        lines.append(f"| {label(cell)} | {' | '.join(str(sum(each)) if all(each) else '-' for each in counts)} |")
    reached = [sum(all(proofs(cell, level, items)) for cell in combinations()) for level in LEVELS]
    lines.append(f"| **reached by** | {' | '.join(f'**{count}**' for count in reached)} |")
    lines += [ACCELERATOR, "| level | test | runs | alike in |", "| --- | --- | ---: | --- |"]
    for level in LEVELS:
        for proof in level.proofs:
            for name in proof.tests:
                lines.append(f"| {level.letter} | `{name}` | {len(items.get(name, ()))} | {', '.join(proof.axes)} |")
    return "\n".join(lines) + "\n"


HEAD = """# The menu

All {cells} combinations are rendered and checked as files; what has to run for it runs on those that differ in what it
tests. The page is written by `MLOPS_WRITE_MENU=1 pytest tests/test_menu.py`, and a test compares it with what pytest
collects. Each number counts the tests that run on the combination itself or on one with the same files in the place
that they test; all of them have to pass before a commit lands. A dash: a proof is missing.
"""
ACCELERATOR = """
Azure's MLOps v2 solution accelerator, whose menu has 48 combinations too, reaches S with 13, R with 3, C with 3 and X
with none of them, measured in the same way on its files (November 2026).

## What runs on what

A test counts for each combination that is alike in the axes of the last column; that the files are indeed the same
there is tested too (`test_the_workflows_of_all_combinations_with_one_infrastructure_are_the_same`,
`test_what_is_tested_in_one_mlops_version_is_the_same_in_the_others`).
"""
