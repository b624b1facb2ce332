"""The type of data of this project."""

from .tabular import MODALITY

__all__ = ["MODALITY"]
