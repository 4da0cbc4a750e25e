"""A worker's page: what waits and what failed, where steps that act stand, and the measures as plots."""
