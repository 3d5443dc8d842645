"""Who may fetch what: grants, playback sessions, entitlements and their revocation."""
