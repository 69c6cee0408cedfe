BASE = "three"
