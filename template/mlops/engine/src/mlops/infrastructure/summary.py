"""A plan as Markdown: for the page of a pipeline's run, where an approval follows, and for a comment."""

import re

from mlops.errors import without_colours
from mlops.infrastructure.losses import PREFIX

LIMIT = 50_000
"""Characters of the plan: a comment of GitHub holds 65,536."""


def plan_summary(environment: str, plan: str) -> str:
    """Return the plan, cut where it is too long, below the line that says how much it changes."""
    text = without_colours(plan).strip()
    # Terraform's last line; Bicep's names the numbers, too.
    found = re.findall(
        rf"^(?:Plan: .*|No changes\..*|Resource changes: .*|.*: to create\.|{re.escape(PREFIX)}.*)$", text, re.MULTILINE
    )
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]}\n... the rest is in the log of the run"
    # Longer than any row of backticks in the plan, which would end the block.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    # One line for the model registry, where that has a plan of its own, and one for the environment.
    head = [f"## Infrastructure of {environment}", "", " ".join(found) or "See the plan.", ""]
    return "\n".join([*head, "<details><summary>Plan</summary>", "", f"{fence}text", text, fence, "", "</details>", ""])
