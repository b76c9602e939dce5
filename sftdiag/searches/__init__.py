"""Searches: the guide's four steps as trials, by Optuna or Ray Tune, each judged beyond noise."""
