"""A tiny model trained with each framework, in a venv each: healthy, blown up, overfitting."""

FRAMEWORKS = {
    "llamafactory": "benchmarks.frameworks.llamafactory",
    "ms-swift": "benchmarks.frameworks.ms_swift",
    "trl": "benchmarks.frameworks.trl",
}
"""Name on the command line to the module that runs it."""
