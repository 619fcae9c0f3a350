"""What exists after a run, station by station. A body ends where numbers begin."""
