"""The one exception of the build."""


class BuildError(Exception):
    """The build cannot go on; its message is one line that names the fix."""
