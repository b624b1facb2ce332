"""The engine of the project: lint, local runner and the verbs, for this machine and for Azure Machine Learning."""
