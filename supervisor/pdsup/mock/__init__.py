"""A stand-in for ``sglang.launch_server`` that needs no GPU. It imports nothing else of pdsup."""
