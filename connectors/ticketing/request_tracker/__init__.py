"""Request Tracker 5 as a help desk: one queue of it for one tenant, over REST 2.0."""
