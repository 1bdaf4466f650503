"""Speed, measured as ratios within one run. The last line that a bench prints is one JSON document."""
