"""Looking without touching: alarms, the system monitor, the log."""
