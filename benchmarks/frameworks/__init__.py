"""A tiny model trained with each framework, in a venv each: healthy, blown up, overfitting."""

FRAMEWORKS = {
    "accelerate": "benchmarks.frameworks.accelerate",
    "lightning": "benchmarks.frameworks.lightning",
    "litgpt": "benchmarks.frameworks.litgpt",
    "llamafactory": "benchmarks.frameworks.llamafactory",
    "ms-swift": "benchmarks.frameworks.ms_swift",
    "torchtune": "benchmarks.frameworks.torchtune",
    "trl": "benchmarks.frameworks.trl",
}
"""Name on the command line to the module that runs it."""
