"""The journal: every attempt to change something, recorded before it is sent, and what was found out about it since."""
