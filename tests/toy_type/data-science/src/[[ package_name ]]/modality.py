"""The type of data of this project."""

from .series import MODALITY

__all__ = ["MODALITY"]
