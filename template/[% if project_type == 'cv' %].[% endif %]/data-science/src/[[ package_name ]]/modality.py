"""The type of data of this project."""

from .vision import MODALITY

__all__ = ["MODALITY"]
