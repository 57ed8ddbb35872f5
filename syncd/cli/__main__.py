"""`python -m syncd.cli` is the command `syncd`."""

from syncd.cli.main import main

main(prog_name="syncd")
