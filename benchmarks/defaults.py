"""What every method reaches by its own defaults on six small sets, and the grids of rates that the defaults come from.

    nice python benchmarks/defaults.py grid          # rates, on development records
    nice python benchmarks/defaults.py table         # the defaults, on test records
    nice python benchmarks/defaults.py show          # what was measured so far; table also writes it into docs/choosing.md

One thread. A result is written as soon as its run ends, and what was measured is not measured again, so the
command can be stopped at any time and started again (`--minutes 30` stops by itself). `--only sst2` takes the runs
whose name has this word, `--seeds 3` is for the table.
"""
