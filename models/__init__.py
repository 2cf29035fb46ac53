"""The model files as an installable package, so that a wheel carries them; `manifest.toml` says what each is."""

from pathlib import Path

FOLDER = Path(__file__).parent
