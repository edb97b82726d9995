"""``python -m sklearn_dysarthria.cli``."""

from sklearn_dysarthria.cli._app import main

if __name__ == "__main__":
    main()
