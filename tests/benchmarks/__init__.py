"""How fast lagotui is, as ratios against the raw tool in the same run. Reported, never asserted."""
