"""Delivers what commands left in the outbox: at least once, in order for each subject. Started as `python -m edge deliver`."""
