"""Helpers shared by every layer; nothing here is public."""
