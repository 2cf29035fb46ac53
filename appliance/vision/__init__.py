"""Models -> answers, one question a file; takes pixels, never bytes."""
