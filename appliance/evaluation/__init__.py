"""How good is a running device? Every accuracy figure, measured from outside: through its HTTP API and command line."""
