"""Time what is meant to be fast, as ratios: `python scripts/benchmark.py`."""

from benchmarks.suite import main

if __name__ == "__main__":
    main()
