"""The guide: symptoms, their causes with the evidence that settles them, and the fixes."""
