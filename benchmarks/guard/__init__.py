"""What a guard keeps out of the weights, and what it costs to be without one."""
