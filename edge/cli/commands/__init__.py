"""The commands and their options, a file for each group. What a command does is imported when it is chosen."""
