"""A shim for tools that still look for it; the metadata is in pyproject.toml.

ModelScope imports every Python file of a model directory, this one too, so it does nothing unless a build runs it.
"""

if __name__ == "__main__":
    from setuptools import setup

    setup()
