"""`python -m services.cli` is `antiphon`."""

from services.cli import main

if __name__ == "__main__":
    main()
