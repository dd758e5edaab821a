"""`python -m segkit`, which `accelerate launch -m segkit train ...` also uses."""

from segkit.cli import main

if __name__ == "__main__":
    main()
