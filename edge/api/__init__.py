"""The HTTP interface around playback: sign-in, catalogue, play, mine, uploads, health."""
