"""What is promoted, by which rule, and who agreed."""
