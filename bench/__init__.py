"""Compares pdsup with its peers, in one run on one machine, so that the ratios are meaningful.

``figures.py`` lists what is measured, ``measurer.py`` measures it, ``peers/`` has one file for each
supervisor, ``page.py`` makes the table. All times are CLOCK_MONOTONIC: the units themselves
(``child.c``) record when they start to run.
"""
