"""pd-supervisor: one agent per Slurm node for SGLang prefill/decode serving."""

__version__ = "0.1.0"
