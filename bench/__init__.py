"""Measures pdsup beside its peers, in one run on one machine, so that the ratios mean something.

``figures.py`` says what is measured, ``measurer.py`` how, ``peers/`` has one file for each
supervisor, ``page.py`` makes the table. All time is CLOCK_MONOTONIC: the units themselves
(``child.c``) note when they begin to run.
"""
