"""How fast the service is, beside the design a tutorial would give: `python -m benchmarks.serving`."""
