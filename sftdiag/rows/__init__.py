"""What rows look like to the loss: a batch's or a file's rows become samples; preflight."""
