"""What ``sftdiag recommend`` advises, priced by public sweeps."""
