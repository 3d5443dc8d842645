"""The web process and the commands around it."""
