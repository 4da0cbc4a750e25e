"""The console: where people see what waits for their answer, answer it, and look at what was done. Server-rendered."""
