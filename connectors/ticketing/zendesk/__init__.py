"""Zendesk Support as a help desk: one account for one tenant."""
