"""A stand-in for ``sglang.launch_server`` that needs no GPU; imports nothing else of supervisor."""
