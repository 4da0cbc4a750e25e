"""Durable runs: what a workflow has done is kept step by step, so that it outlives its process and waits for weeks."""
