"""Where a model came from: experiments, runs, data sets, artifacts. Never knows what a promotion is."""
