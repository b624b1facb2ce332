"""The mlops layer: verbs for Azure Machine Learning, the lint of their definitions, and the loop on this machine."""


class UserError(Exception):
    """A fault that the user can cure; its text is one line that names the fault and the cure."""
