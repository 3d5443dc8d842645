"""The worker: probe, ladder, ffmpeg, packaging, verification, publication."""
