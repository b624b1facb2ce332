"""The Deploy to Azure button: one compiled template, a form for it, and a page with the link."""

import shutil
from pathlib import Path
from urllib.parse import quote

from mlops.config import load_environment
from mlops.errors import UserError
from mlops.outputs import add_summary, annotate
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES

FOLDER = "infrastructure/bicep"
IMAGE = "https://aka.ms/deploytoazurebutton"
PORTAL = "https://portal.azure.com/#blade/Microsoft_Azure_CreateUIDef/CustomDeploymentBlade/uri"
FORM = "uiFormDefinition.json"
"""The form; the older createUiDefinition.json asks for a resource group, and the template is one of a subscription."""


def write_button(project: Project, folder: Path, address: str) -> None:
    """Compile the template into a folder, beside its form; with an address also the page with the button.

    Args:
        project: The project.
        folder: Where the files go.
        address: Where the portal will find them, which fetches them from the reader's browser; empty if it cannot.

    Raises:
        UserError: The project has no Bicep, or it does not compile.
    """
    if not (project.root / FOLDER / "main.bicep").is_file():
        raise UserError(f"there is no {FOLDER}/main.bicep: only a project with Bicep has a button")
    folder.mkdir(parents=True, exist_ok=True)
    shell = Shell(project.root, remedies=REMEDIES)
    template = folder.resolve() / "template.json"
    shell.run("az", "bicep", "build", "--file", f"{FOLDER}/main.bicep", "--outfile", str(template))
    shutil.copyfile(project.root / FOLDER / FORM, folder / FORM)
    note = _registry_note(project)
    if note:
        annotate("notice", "The button builds no model registry", note)
    if not address:
        annotate(
            "notice",
            "There is no button",
            "The portal cannot read a private repository. The template is the artifact of this run: portal, Deploy a "
            "custom template, Build your own template.",
        )
        return
    files = [quote(f"{address}/{name}", safe="") for name in ("template.json", FORM)]
    link = f"{PORTAL}/{files[0]}/uiFormDefinitionUri/{files[1]}"
    parts = ["# Deploy to Azure", note, f"[![Deploy to Azure]({IMAGE})]({link})", "The next run replaces this."]
    page = "\n\n".join(part for part in parts if part) + "\n"
    (folder / "README.md").write_text(page, encoding="utf-8")
    add_summary(page)


def _registry_note(project: Project) -> str:
    """Return what comes before the button where the model registry is a deployment of its own; otherwise empty."""
    for name in project.environments:
        config = load_environment(project, name)
        if config.builds_registry_apart:
            command = f"`uv run mlops provision --environment {name}`"
            return (
                f"The model registry comes first, and not by this button: {command} builds {config.names.registry}, "
                f"together with {name}. The button is for the other environments."
            )
    return ""
