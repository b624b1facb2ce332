"""Responsible AI for models with an embedding: where they err, whom they treat worse, and what moves them.

Azure ML's components for images and texts were removed from its registry in August 2025, and responsibleai, which those
for tables are built on, cannot be installed beside PyTorch. This package needs neither, and runs the same on Azure.
"""
