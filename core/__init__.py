"""What two or more packages need. No models; imports nothing of ours."""
