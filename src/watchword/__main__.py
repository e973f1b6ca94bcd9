"""`python -m watchword` is the `watchword` command."""

from watchword.cli.main import main

main()
