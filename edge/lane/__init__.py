"""The fast lane: media requests known by heart, answered before any parser runs.

Most of a player's requests repeat: the same header block, a token already verified, an object already in memory. Three
exact-match look-ups on the raw bytes answer those. Anything else goes to aiohttp, the one authority on HTTP here.
"""
