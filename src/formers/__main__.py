"""`python -m formers` is the `formers` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; an interruption while it is still being imported ends as any other."""
    try:
        from formers.cli import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
