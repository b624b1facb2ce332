"""The type of data of this project."""

from .text import MODALITY

__all__ = ["MODALITY"]
