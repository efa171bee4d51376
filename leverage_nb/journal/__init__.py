"""The journal: every attempt, recorded before it is sent, with the findings about its outcome."""
