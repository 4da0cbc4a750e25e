"""Policy tests: YAML cases beside the policy, run and counted."""
