"""`python -m cli` is `breakwater`."""

from cli.main import main

if __name__ == "__main__":
    main()
