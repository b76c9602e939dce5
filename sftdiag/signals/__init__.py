"""What is computed once for all detectors: the run so far, block means, noise, epochs' edges."""
