"""The model files under the name of their installed package: the build uses the program from its folder."""

from models import FOLDER

__all__ = ["FOLDER"]
