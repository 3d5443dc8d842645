"""The embedded servers and the parent process of a one-box installation."""
