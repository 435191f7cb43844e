"""How the small network was trained and measured; no part of the installed package."""
