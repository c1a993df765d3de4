"""``python -m eregtools.cli``."""

from eregtools.cli import main

if __name__ == "__main__":
    main()
